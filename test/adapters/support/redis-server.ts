import { type Daemon, findProgram, startDaemon } from './daemon.ts';
import type { ServerFiles } from './stage.ts';

/** A real Redis that speaks TLS only, to clients with a certificate only; `undefined`: not installed. */
export async function startRedis(
  files: ServerFiles,
  options: { readonly cluster: boolean } = { cluster: false },
): Promise<Daemon | undefined> {
  const command = findProgram('redis-server');
  if (command === undefined) return undefined;
  return startDaemon({
    command,
    ready: /Ready to accept connections/,
    arguments: (port) =>
      [
        ['--port', '0'],
        ['--bind', '127.0.0.1'],
        ['--tls-port', String(port)],
        ['--tls-cert-file', files.certificate],
        ['--tls-key-file', files.privateKey],
        ['--tls-ca-cert-file', files.roots],
        ['--tls-auth-clients', 'yes'],
        ['--save', ''],
        ['--dir', files.directory],
        ...(options.cluster ? clusterOfOne : []),
      ].flat(),
  });
}

/** A node that knows its address without having met another. */
const clusterOfOne = [
  ['--cluster-enabled', 'yes'],
  ['--tls-cluster', 'yes'],
  ['--cluster-announce-ip', '127.0.0.1'],
];
