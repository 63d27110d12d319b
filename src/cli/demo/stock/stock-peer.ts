import { spawnSync } from 'node:child_process';
import type { DemoProcess, ProcessGroup } from '../processes.ts';
import { nodePeer } from './node-peer.ts';
import { opensslPeer } from './openssl-peer.ts';

/** A TLS program that knows nothing of ours, with a key and certificate of its own in files. */
export interface StockPeer {
  /** As a person would name the two programs. */
  readonly clientName: string;
  readonly serverName: string;
  /** Starts a client that fetches `/` from our server and prints what it sees. */
  readonly startClient: (port: number) => DemoProcess;
  /** Starts a server that asks for a client certificate; it prints a port that `listening` finds. */
  readonly startServer: () => DemoProcess;
  readonly listening: RegExp;
}

/** What either program is started with. */
export interface StockPeerFiles {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  readonly rootFile: string;
}

/** `openssl` if it is wanted, or installed and nothing else is wanted; `node:tls` otherwise. */
export function chooseStockPeer(
  wanted: 'openssl' | 'node' | undefined,
  processes: ProcessGroup,
  files: StockPeerFiles,
): StockPeer {
  const kind = wanted ?? (isOpensslInstalled() ? 'openssl' : 'node');
  return kind === 'openssl' ? opensslPeer(processes, files) : nodePeer(processes, files);
}

function isOpensslInstalled(): boolean {
  return spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0;
}
