import { once } from 'node:events';
import type { Socket } from 'node:net';
import { createOffload, type OffloadOptions, type OffloadSocket } from '../../offload/index.ts';
import { type Endpoint, formatEndpoint } from '../arguments.ts';
import { reportConnection } from '../connection-report.ts';
import { describeFailure } from '../failure.ts';
import { print, printError } from '../terminal.ts';
import { RequestHeadReader } from './request-head.ts';
import { errorResponse, statusResponse } from './status-page.ts';

export interface ServeOptions {
  readonly offload: OffloadOptions;
  readonly listen: Endpoint;
  readonly mode: 'echo' | 'www';
  readonly clientAuth: 'none' | 'request' | 'require';
  readonly applicationProtocols: readonly string[];
  /** One JSON line on standard error for every connection. */
  readonly show: boolean;
}

/**
 * Serves until SIGTERM or SIGINT. A handshake that fails costs one line on standard error.
 *
 * @throws if the address cannot be listened on
 */
export async function serve(options: ServeOptions): Promise<void> {
  const offload = createOffload(options.offload);
  const handle = options.mode === 'www' ? answerRequest : echo;
  const open = new Set<OffloadSocket>();
  const server = offload.createServer(
    {
      clientAuth: options.clientAuth,
      ALPNProtocols: [...options.applicationProtocols],
      allowHalfOpen: true,
    },
    (socket: OffloadSocket) => {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.on('error', (error) => {
        printError(`connection ${socket.handshakeId ?? ''}: ${describeFailure(error)}`);
      });
      if (options.show) printError(JSON.stringify(reportConnection(socket)));
      handle(socket);
    },
  );
  // Looked up while the connection is there, so that it can be told when it is not.
  server.on('connection', (raw: Socket) => raw.remoteAddress);
  server.on('tlsClientError', (error: Error, socket: OffloadSocket) => {
    printError(`handshake with ${peerOf(socket)} failed: ${describeFailure(error)}`);
  });
  const stopped = once(process, 'SIGTERM');
  const interrupted = once(process, 'SIGINT');
  server.listen({ host: options.listen.host, port: options.listen.port });
  await once(server, 'listening');
  const address = server.address();
  if (address !== null && typeof address === 'object') {
    print(`listening ${formatEndpoint(address.address, address.port)}`);
  }
  await Promise.race([stopped, interrupted]);
  const closed = once(server, 'close');
  server.close();
  // With a close_notify, so that peers see an end and not a break.
  for (const socket of open) socket.end();
  const deadline = setTimeout(() => {
    server.closeAllConnections();
  }, drainMs);
  await closed;
  clearTimeout(deadline);
  await offload.close();
}

function peerOf(socket: OffloadSocket): string {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined || remotePort === undefined
    ? 'a peer already gone'
    : formatEndpoint(remoteAddress, remotePort);
}

/** Half-open: what is still on its way back is sent after the peer has said it is done. */
function echo(socket: OffloadSocket): void {
  socket.pipe(socket);
}

function answerRequest(socket: OffloadSocket): void {
  const reader = new RequestHeadReader();
  let answered = false;
  const answer = (bytes: Buffer): void => {
    answered = true;
    socket.end(bytes);
  };
  socket.setTimeout(requestTimeoutMs, () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    // What follows the head (a body, a second request) is read and dropped: closing with unread
    // bytes would reset the connection before the peer has read the answer.
    if (answered) return;
    const progress = reader.push(chunk);
    if (progress.state === 'complete') {
      answer(statusResponse(progress.head, reportConnection(socket)));
    } else if (progress.state === 'refused') {
      answer(errorResponse(progress.status));
    }
  });
  socket.on('end', () => {
    if (!answered) socket.end();
  });
}

/** Time a peer has for its request, and to take the answer. */
const requestTimeoutMs = 30_000;

/** Time connections have to finish after the server was told to stop. */
const drainMs = 1000;
