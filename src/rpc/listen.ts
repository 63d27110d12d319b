import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdtempSync,
  rmSync,
  unlinkSync,
  type Stats,
} from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import type { ListenAddress } from './address.ts';

/** Who may open a unix socket. */
export interface SocketAccess {
  /** Permission bits, for example 0o660. */
  readonly mode: number;
  /** Numeric owner; absent: whoever runs this process. */
  readonly owner?: number;
  readonly group?: number;
}

/** A server that listens; `close` stops accepting and removes a unix socket that is still ours. */
export interface Listening {
  /** Where it listens now, with the real port. */
  readonly address: ListenAddress;
  close(): Promise<void>;
}

/** A place cannot be listened on; says why and what to do. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/**
 * Makes `server` listen on an address.
 *
 * A unix socket gets its mode and owner in a private directory before it appears under its name, so
 * nobody can connect earlier. A socket left behind by a dead process is replaced; one on which
 * somebody answers, and any other file, is left alone. Throws {@link ListenError}.
 */
export async function listen(
  server: Server,
  address: ListenAddress,
  access: SocketAccess,
): Promise<Listening> {
  if (address.kind === 'unix') return await listenUnix(server, address.path, access);
  await listening(server, { host: address.host, port: address.port });
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  return { address: { ...address, port }, close: () => closed(server) };
}

async function listenUnix(server: Server, path: string, access: SocketAccess): Promise<Listening> {
  await removeStaleSocket(path);
  const directory = privateDirectory(path);
  try {
    const temporary = join(directory, 's');
    if (Buffer.byteLength(temporary) > maxSocketPathBytes) {
      throw new ListenError(`${path}: path is too long for a unix socket`);
    }
    await listening(server, { path: temporary });
    chmodSync(temporary, access.mode);
    if (access.owner !== undefined || access.group !== undefined) {
      chownSync(temporary, access.owner ?? -1, access.group ?? -1);
    }
    // Unlike a rename, a link fails if somebody else took the name meanwhile.
    linkSync(temporary, path);
  } catch (cause) {
    await closed(server);
    throw asListenError(path, cause);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  const ours = lstatSync(path);
  return {
    address: { kind: 'unix', path },
    close: async () => {
      if (sameFile(statOf(path), ours)) unlinkSync(path);
      await closed(server);
    },
  };
}

async function removeStaleSocket(path: string): Promise<void> {
  const before = statOf(path);
  if (before === undefined) return;
  if (!before.isSocket()) throw new ListenError(`${path}: exists and is not a socket`);
  switch (await answers(path)) {
    case 'yes':
      throw new ListenError(`${path}: another process is listening on this socket`);
    case 'no':
      if (sameFile(statOf(path), before)) unlinkSync(path);
      return;
    case 'unknown':
      throw new ListenError(`${path}: cannot tell whether another process is listening there`);
  }
}

async function answers(path: string): Promise<'yes' | 'no' | 'unknown'> {
  return await new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve('yes');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy();
      resolve(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'no' : 'unknown');
    });
  });
}

function privateDirectory(path: string): string {
  try {
    return mkdtempSync(join(dirname(path), '.sk-'));
  } catch (cause) {
    throw asListenError(path, cause);
  }
}

async function listening(
  server: Server,
  options: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => {
      reject(asListenError('path' in options ? options.path : options.host, cause));
    };
    server.once('error', failed);
    server.listen(options, () => {
      server.removeListener('error', failed);
      resolve();
    });
  });
}

async function closed(server: Server): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    // Connections go on: whoever owns them ends them. Waiting for them here would hold up a drain.
    server.close();
    resolve();
  });
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function sameFile(a: Stats | undefined, b: Stats): boolean {
  return a?.ino === b.ino && a.dev === b.dev;
}

function asListenError(where: string, cause: unknown): ListenError {
  if (cause instanceof ListenError) return cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  return new ListenError(`cannot listen on ${where}: ${message}`, { cause });
}

/** sizeof(sun_path) less the terminator (unix(7)). */
const maxSocketPathBytes = 107;
