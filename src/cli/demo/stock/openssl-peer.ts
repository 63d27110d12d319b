import type { ProcessGroup } from '../processes.ts';
import type { StockPeer, StockPeerFiles } from './stock-peer.ts';

/** The command-line programs of OpenSSL. */
export function opensslPeer(processes: ProcessGroup, files: StockPeerFiles): StockPeer {
  const credentials = [
    ...['-cert', files.certificateFile, '-key', files.privateKeyFile],
    ...['-CAfile', files.rootFile, '-verify_return_error'],
  ];
  return {
    clientName: 'openssl s_client',
    serverName: 'openssl s_server',
    startClient: (port) => {
      const client = processes.start('openssl s_client', 'openssl', [
        ...['s_client', '-connect', `127.0.0.1:${String(port)}`],
        ...['-servername', 'localhost', '-verify_hostname', 'localhost', '-ign_eof'],
        ...credentials,
      ]);
      client.child.stdin?.end('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      return client;
    },
    startServer: () =>
      processes.start('openssl s_server', 'openssl', [
        ...['s_server', '-accept', '127.0.0.1:0', '-Verify', '1', '-www'],
        ...credentials,
      ]),
    listening: /ACCEPT \S*:(\d+)/,
  };
}
