import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Fixture } from '../interop/fixture.ts';
import { Daemon } from '../interop/processes.ts';
import { builtCommand } from '../interop/sides/sidekey.ts';
import { adminAddress } from '../soak/metrics.ts';
import { patience } from './patience.ts';

export interface SidecarSetup {
  readonly name: string;
  /** Whose identity it has. */
  readonly role: 'client' | 'server';
  /** YAML of the one listener, beyond its address. */
  readonly listener?: string;
  /** YAML beyond listeners, identities and trust. */
  readonly settings?: string;
  /** Where state is kept; absent: beside the configuration. */
  readonly state?: string;
}

/** The built sidecar as a process that can be killed and started again on the same socket. */
export class SidecarProcess {
  readonly directory: string;
  readonly socketPath: string;
  readonly configuration: string;
  #daemon: Daemon | undefined;

  constructor(fixture: Fixture, setup: SidecarSetup) {
    this.directory = path.join(fixture.directory, `chaos-${setup.name}`);
    mkdirSync(this.directory);
    this.socketPath = path.join(this.directory, 's');
    this.configuration = path.join(this.directory, 'sidecar.yaml');
    const { certificateFile, privateKeyFile } = fixture[setup.role].ecdsa;
    writeFileSync(
      this.configuration,
      `state: ${setup.state ?? './state'}
listen:
  - address: unix:${this.socketPath}
${setup.listener ?? ''}identities:
  only: { certificate: ${certificateFile}, privateKey: ${privateKeyFile}, default: true }
trust:
  bundle: ${fixture.rootsFile}
admin: { address: "127.0.0.1:0" }
${setup.settings ?? timeouts}`,
    );
  }

  static async started(fixture: Fixture, setup: SidecarSetup): Promise<SidecarProcess> {
    const sidecar = new SidecarProcess(fixture, setup);
    await sidecar.start();
    return sidecar;
  }

  get address(): string {
    return `unix:${this.socketPath}`;
  }

  /** Of the process that runs now. */
  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('the sidecar was not started');
    return this.#daemon;
  }

  /** Settles once it serves. `wrapper` are words before the command, such as those of a shell. */
  async start(wrapper: readonly string[] = []): Promise<void> {
    const [command = '', ...args] = [
      ...wrapper,
      process.execPath,
      ...[builtCommand, 'sidecar', '--config', this.configuration],
    ];
    const timeoutMs = 15_000 * patience;
    this.#daemon = await Daemon.printing(/"sidecar started"/, command, args, { timeoutMs });
    // What it says later may be so much that this is forgotten.
    if (this.#daemon.output.includes('"admin":"')) adminAddress(this.#daemon);
  }

  /** Starts it with its log going to a disk that is full; nobody hears whether it serves. */
  startDeaf(): { readonly exited: () => boolean; readonly stop: () => Promise<void> } {
    const full = openSync('/dev/full', 'w');
    const { PATH } = process.env;
    const args = [builtCommand, 'sidecar', '--config', this.configuration];
    const child = spawn(process.execPath, args, { env: { PATH }, stdio: ['ignore', full, full] });
    closeSync(full);
    const ended = once(child, 'exit');
    return {
      exited: () => child.exitCode !== null || child.signalCode !== null,
      stop: async () => {
        child.kill('SIGKILL');
        await ended;
      },
    };
  }

  async kill(): Promise<void> {
    await this.daemon.stop('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }
}

/** Short, so that a silent peer costs the run little. */
export const timeouts = `tls:
  handshakeTimeout: ${String(3500 * patience)}ms
  firstMessageTimeout: ${String(3000 * patience)}ms
  idleTimeout: ${String(2000 * patience)}ms
`;
