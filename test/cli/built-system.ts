import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BuiltCommand, sidekey } from './built-command.ts';

/** Programs that run side by side for a test, on files in a directory of their own. */
export class BuiltSystem {
  readonly directory = mkdtempSync(join(tmpdir(), 'sidekey-system-'));
  readonly #running: BuiltCommand[] = [];

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Writes a file and answers its path. */
  write(name: string, ...lines: readonly string[]): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
    return path;
  }

  /** Output of a command that has to succeed. */
  async run(...argv: readonly string[]): Promise<string> {
    const { code, out, err } = await sidekey(argv);
    if (code === 0) return out;
    throw new Error(`sidekey ${argv.join(' ')} ended with ${String(code)}: ${out}${err}`);
  }

  /** Starts a program that goes on, and waits until it says that it does. */
  async start(argv: readonly string[], says: RegExp): Promise<BuiltCommand> {
    const command = new BuiltCommand(argv);
    this.#running.push(command);
    await command.says(says);
    return command;
  }

  startSidecar(config: string): Promise<BuiltCommand> {
    return this.start(['sidecar', '--config', config], /"msg":"sidecar started"/u);
  }

  /** Starts the sidecar of a host that is to enrol, at `NAME.sock`. */
  startHost(name: string): Promise<BuiltCommand> {
    return this.startSidecar(
      this.write(
        `${name}.yaml`,
        `state: ./${name}`,
        `listen: [{ address: "unix:./${name}.sock" }]`,
        `identities: { ${name}: { enrolled: true, default: true } }`,
      ),
    );
  }

  /** Kills all that still run. */
  async close(): Promise<void> {
    await Promise.all(this.#running.map((command) => command.stop('SIGKILL')));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
