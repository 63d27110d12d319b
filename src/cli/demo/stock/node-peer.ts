import type { ProcessGroup } from '../processes.ts';
import type { StockPeer, StockPeerFiles } from './stock-peer.ts';

/** Node's own TLS, in processes that load nothing of ours. */
export function nodePeer(processes: ProcessGroup, files: StockPeerFiles): StockPeer {
  const credentials = [files.certificateFile, files.privateKeyFile, files.rootFile];
  return {
    clientName: 'a node:tls client',
    serverName: 'a node:tls server',
    startClient: (port) =>
      processes.startModule('node:tls client', './stock/node-client', [
        ...credentials,
        String(port),
      ]),
    startServer: () => processes.startModule('node:tls server', './stock/node-server', credentials),
    listening: /ACCEPT \S*:(\d+)/,
  };
}
