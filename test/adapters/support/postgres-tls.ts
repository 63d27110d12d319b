import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPostgres, unprivilegedUser } from '../../support/postgres.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import type { ServerFiles } from './stage.ts';

/** Role that proves itself by a password, over TLS. */
export const passwordRole = { user: 'reader', password: 'a password of a test' } as const;

/**
 * A real PostgreSQL reached by TCP: role `app` by its certificate's common name, role `reader` by
 * password, nobody without TLS; `tls: false` for one that does not speak TLS. Says why there is none.
 */
export async function startPostgresTls(
  files: ServerFiles,
  options: { readonly tls: boolean } = { tls: true },
): Promise<Daemon | { readonly unavailable: string }> {
  const binaries = findPostgres();
  if (binaries === undefined) return { unavailable: 'no PostgreSQL server is installed' };
  const user = unprivilegedUser();
  if (user === undefined) return { unavailable: 'no user that may run PostgreSQL' };
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-postgres-tls-'));
  const data = join(directory, 'data');
  const own = (path: string, mode: number): string => {
    chmodSync(path, mode);
    if (user.uid !== undefined && user.gid !== undefined) chownSync(path, user.uid, user.gid);
    return path;
  };
  const place = (name: string, source: string): string => {
    const path = join(directory, name);
    copyFileSync(source, path);
    return own(path, 0o600);
  };
  own(directory, 0o700);
  execFileSync(
    join(binaries, 'initdb'),
    ['-D', data, '-A', 'trust', '-U', 'app', '-E', 'UTF8', '--no-locale', '--no-sync'],
    { ...user, stdio: 'pipe', cwd: directory },
  );
  writeFileSync(
    join(data, 'pg_hba.conf'),
    'hostssl all app all cert\nhostssl all reader all scram-sha-256\nlocal all all trust\n',
  );
  const settings = [
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${directory}`,
    'fsync=off',
    'logging_collector=off',
    'password_encryption=scram-sha-256',
    `ssl=${options.tls ? 'on' : 'off'}`,
    `ssl_cert_file=${place('server.pem', files.certificate)}`,
    `ssl_key_file=${place('server.key', files.privateKey)}`,
    `ssl_ca_file=${place('roots.pem', files.roots)}`,
  ].flatMap((setting) => ['-c', setting]);
  const daemon = await startDaemon({
    command: join(binaries, 'postgres'),
    arguments: (port) => ['-D', data, '-p', String(port), ...settings],
    ready: /ready to accept connections/,
    user,
    cwd: directory,
  });
  execFileSync(
    join(binaries, 'psql'),
    ['-h', directory, '-p', String(daemon.port), '-U', 'app', '-d', 'postgres', '-q'],
    {
      ...user,
      cwd: directory,
      input: `create role ${passwordRole.user} login password '${passwordRole.password}'`,
    },
  );
  return {
    port: daemon.port,
    stop: async () => {
      await daemon.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
