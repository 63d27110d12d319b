import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Offload } from '../../../offload/index.ts';
import { formatAddress, type ListenAddress } from '../../../rpc/address.ts';
import { listen, type Listening } from '../../../rpc/listen.ts';
import {
  createPeerCredentialsReader,
  type PeerCredentialsReader,
} from '../../../rpc/peer-credentials.ts';
import type { Administration } from './administration.ts';
import { Administrators } from './administrators.ts';
import { handleRequest } from './handle-request.ts';

export interface AdminServiceOptions {
  readonly administration: Administration;
  /** For the owner of the process, and root; absent: there is no such listener. */
  readonly address: ListenAddress | undefined;
  /** For operators; absent: there is no such listener. */
  readonly https: AdminHttps | undefined;
  readonly now: () => Date;
  readonly log: Logger;
  /** For tests. */
  readonly readCredentials?: PeerCredentialsReader;
}

export interface AdminHttps {
  readonly address: ListenAddress;
  readonly offload: Offload;
  /** Of the sidecar; absent: its default one. */
  readonly identity: string | undefined;
  /** Operators of this one are obeyed. */
  readonly trustDomain: string;
  /** Names by which browsers reach it. */
  readonly names: readonly string[];
}

/** What administrators reach. */
export interface AdminService {
  readonly address: string | undefined;
  /** Absent: there is no such listener. */
  readonly https: string | undefined;
  /** Ends all of its connections. */
  close(): Promise<void>;
}

/** Serves administrators over a unix socket, and operators over HTTPS. Rejects with `ListenError`. */
export async function startAdminService(options: AdminServiceOptions): Promise<AdminService> {
  const { https, log } = options;
  const administrators = new Administrators({
    ownUid: process.getuid?.(),
    trustDomain: () => https?.trustDomain,
    readCredentials: options.readCredentials ?? createPeerCredentialsReader(),
  });
  const names = new Set([
    'localhost',
    'manager',
    ...(https?.names ?? []).map((name) => name.toLowerCase()),
  ]);
  const handler = { ...options, administrators, names };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    void handleRequest(handler, request, response);
  };
  const local = createServer(serverOptions, handle);
  bound(local);
  local.prependListener('connection', (socket: Socket) => {
    if (administrators.admitLocal(socket)) return;
    log.warn('connection of an administrator refused: another user');
    socket.destroy();
  });
  const remote = https === undefined ? undefined : createRemote(https, handle, log);
  let localListening: Listening | undefined;
  let remoteListening: Listening | undefined;
  const close = async (): Promise<void> => {
    await localListening?.close();
    await remoteListening?.close();
    local.closeAllConnections();
    remote?.closeAllConnections();
  };
  try {
    if (options.address !== undefined) {
      localListening = await listen(local, options.address, { mode: 0o600 });
    }
    if (remote !== undefined && https !== undefined) {
      remoteListening = await listen(remote, https.address, { mode: 0o600 });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { address: addressOf(localListening), https: addressOf(remoteListening), close };
}

function addressOf(listening: Listening | undefined): string | undefined {
  return listening === undefined ? undefined : formatAddress(listening.address);
}

function createRemote(
  { offload, identity, trustDomain }: AdminHttps,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  log: Logger,
): Server {
  const server = offload.httpServer(
    {
      ...serverOptions,
      clientAuth: 'require',
      allowedPeers: [`spiffe://${trustDomain}/operator/*`],
      ...(identity === undefined ? {} : { identity }),
    },
    handle,
  );
  bound(server);
  server.on('tlsClientError', (error: Error) => {
    log.warn({ problem: error.message }, 'connection of an operator refused');
  });
  return server;
}

function bound(server: Server): void {
  server.maxConnections = maxConnections;
  server.maxHeadersCount = maxHeaderFields;
  server.keepAliveTimeout = idleMs;
  server.maxRequestsPerSocket = 10_000;
}

const serverOptions = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 5000,
};
const maxConnections = 256;
const maxHeaderFields = 64;
const idleMs = 30_000;
