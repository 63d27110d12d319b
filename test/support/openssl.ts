import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodePem } from '../../src/pki/pem.ts';

/** The command-line tool as a judge of what we issue, with a directory for its files. */
export interface OpenSsl {
  /** Writes a file and answers its path. */
  file(name: string, content: Uint8Array | string): string;
  /** Writes DER blocks as PEM. */
  pem(name: string, label: string, ...blocks: readonly Uint8Array[]): string;
  /** Runs it; answers the exit status and everything it printed. */
  run(...args: readonly string[]): { readonly status: number | null; readonly output: string };
  /** The same without blocking, for talking to a server of this process. */
  runAside(
    ...args: readonly string[]
  ): Promise<{ readonly status: number; readonly output: string }>;
  /** Removes the directory. */
  close(): void;
}

export function openSsl(): OpenSsl {
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-openssl-'));
  const file = (name: string, content: Uint8Array | string): string => {
    const path = join(directory, name);
    writeFileSync(path, content);
    return path;
  };
  return {
    file,
    pem: (name, label, ...blocks) =>
      file(name, Buffer.concat(blocks.map((der) => encodePem(label, der)))),
    run(...args) {
      const { status, stdout, stderr, error } = spawnSync('openssl', args, {
        encoding: 'utf8',
        timeout: 15_000,
      });
      if (error !== undefined) throw error;
      return { status, output: stdout + stderr };
    },
    runAside: (...args) =>
      new Promise((resolve) => {
        execFile('openssl', args, { timeout: 15_000 }, (error, stdout, stderr) => {
          const status = error === null ? 0 : Number(error.code ?? -1);
          resolve({ status, output: stdout + stderr });
        });
      }),
    close: () => {
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
