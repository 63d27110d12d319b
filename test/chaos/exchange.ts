import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Offload, OffloadSocket } from '../../src/offload/index.ts';

/** How an exchange ended for the application that dialled. */
export interface Ending {
  /** `ok`, or the code of the error. */
  readonly code: string;
  readonly error: Error | undefined;
  readonly milliseconds: number;
}

/**
 * One connection to a server that echoes: handshake, a question, its answer, end. Never rejects and
 * always ends: what takes longer than `limitMs` is an ending called `late`.
 */
export async function exchange(
  offload: Offload,
  port: number,
  options: { readonly limitMs: number; readonly onSecure?: () => void },
): Promise<Ending> {
  const startedAt = performance.now();
  names += 1;
  const servername = `name-${String(names)}.interop.test`;
  const socket = offload.connect({ host: '127.0.0.1', port, servername });
  const ended = talk(socket, options.onSecure);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Error>((resolve) => {
    timer = setTimeout(resolve, options.limitMs, new Error('late'));
  });
  const error = await Promise.race([ended, late]);
  clearTimeout(timer);
  socket.destroy();
  const milliseconds = performance.now() - startedAt;
  return { code: codeOf(error), error, milliseconds };
}

/** A server application that echoes, on a free port of the loopback interface. */
export async function echoServer(offload: Offload) {
  const server = offload.createServer({ clientAuth: 'require' }, (socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    connections: (): Promise<number> =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => {
          if (error === null) resolve(count);
          else reject(error);
        });
      }),
    close: async (): Promise<void> => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Whether an error is one an application can act on: ours, or one Node has for sockets. */
export function isTyped({ code }: Ending): boolean {
  return /^(?:ERR_(?:OFFLOAD|TLS)_[A-Z_]+|E[A-Z]+|CERT_[A-Z_]+|UNABLE_[A-Z_]+)$/.test(code);
}

/** Asks and waits for the answer; resolves with the error, if it comes to one. */
function talk(socket: OffloadSocket, onSecure = (): void => undefined): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let answer = '';
    socket.on('secureConnect', () => {
      onSecure();
      socket.write(question);
    });
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
      if (answer.length >= question.length) socket.end();
    });
    socket.on('error', resolve);
    socket.on('close', () => {
      resolve(answer === question ? undefined : new Error('closed without the answer'));
    });
  });
}

function codeOf(error: Error | undefined): string {
  if (error === undefined) return 'ok';
  return 'code' in error ? String(error.code) : error.message;
}

let names = 0;
const question = 'is anybody there?\n';
