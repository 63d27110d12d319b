import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findProgram, startDaemon } from './daemon.ts';

/** A real MariaDB on a unix socket, without TLS and without users; `undefined`: not installed. */
export async function startMariaDb(): Promise<
  { readonly socket: string; stop(): Promise<void> } | undefined
> {
  const command = findProgram('mariadbd');
  if (command === undefined || findProgram('mariadb') === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-mariadb-'));
  const data = join(directory, 'data');
  mkdirSync(data);
  const socket = join(directory, 's');
  const root = process.getuid?.() === 0;
  const daemon = await startDaemon({
    command,
    ready: /ready for connections/,
    arguments: () => [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socket}`,
      '--skip-networking',
      '--skip-grant-tables',
      '--innodb=OFF',
      '--default-storage-engine=Aria',
      ...(root ? ['--user=root'] : []),
    ],
  });
  return {
    socket,
    stop: async () => {
      await daemon.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
