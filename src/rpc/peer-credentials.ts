import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type * as Koffi from 'koffi';

/** Who was at the other end of a unix socket when it connected. */
export interface PeerCredentials {
  readonly uid: number;
  readonly gid: number;
  /** A hint for logs only: process ids are used again. */
  readonly pid: number;
}

/** Reads the credentials of a connection; `undefined` when the platform cannot tell. */
export type PeerCredentialsReader = (socket: Socket) => PeerCredentials | undefined;

/**
 * A reader of SO_PEERCRED (unix(7)). Node has no API for it, so this is the one place that calls
 * the C library itself. Whatever is missing on this platform (the library, the foreign-function
 * package, the descriptor of the socket) makes it answer `undefined`, which callers treat as
 * "nobody we know".
 */
export function createPeerCredentialsReader(): PeerCredentialsReader {
  const getsockopt = loadGetsockopt();
  if (getsockopt === undefined) return () => undefined;
  return (socket) => {
    const fd = descriptorOf(socket);
    if (fd === undefined) return undefined;
    // struct ucred { pid_t pid; uid_t uid; gid_t gid; };
    const ucred = Buffer.alloc(12);
    const length = [ucred.length];
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, length) !== 0) return undefined;
    if (length[0] !== ucred.length) return undefined;
    return { pid: ucred.readInt32LE(0), uid: ucred.readUInt32LE(4), gid: ucred.readUInt32LE(8) };
  };
}

type Getsockopt = (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: number[],
) => number;

/** The two option numbers below are those of these platforms; others differ. */
function loadGetsockopt(): Getsockopt | undefined {
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) return undefined;
  for (const library of ['libc.so.6', 'libc.so', 'libc.musl-x86_64.so.1']) {
    try {
      // Loaded here, not imported: without it the rest of the sidecar works.
      const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
      return koffi
        .load(library)
        .func(
          'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
        ) as Getsockopt;
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
    }
  }
  return undefined;
}

/** The descriptor is an internal of Node's handle: absent, or -1, on sockets we cannot judge. */
function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const fd: unknown = Reflect.get(handle, 'fd');
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
