import type { Duplex } from 'node:stream';
import type { ConnectOptions } from './connect.ts';
import { createOffload, type Offload } from './offload.ts';
import type { OffloadSocket } from './offload-socket.ts';
import type { OffloadServer, ServerOptions } from './server.ts';
import type { WrapOptions } from './wrap.ts';

/** As {@link Offload.connect}, by the sidecar the environment names. */
export function connect(options: ConnectOptions, onSecure?: () => void): OffloadSocket {
  return fromEnvironment().connect(options, onSecure);
}

/** As {@link Offload.createServer}, by the sidecar the environment names. */
export function createServer(
  options: ServerOptions,
  onSecure?: (socket: OffloadSocket) => void,
): OffloadServer {
  return fromEnvironment().createServer(options, onSecure);
}

/** As {@link Offload.wrap}, by the sidecar the environment names. */
export function wrap(raw: Duplex, options: WrapOptions): OffloadSocket {
  return fromEnvironment().wrap(raw, options);
}

/** Made at the first use, which is when the environment is read. */
function fromEnvironment(): Offload {
  return (shared ??= createOffload());
}

let shared: Offload | undefined;
