import type { Duplex } from 'node:stream';
import { type ClientOptions, clientHandshake } from './connect.ts';
import { refuseForeignOptions } from './connection-options.ts';
import type { Handshaker } from './handshaker.ts';
import { OffloadSocket } from './offload-socket.ts';
import { type ServerHandshakeOptions, serverHandshake } from './server.ts';
import type { OffloadSettings } from './settings.ts';

export type WrapOptions =
  | ({ readonly role: 'client'; readonly host?: string | undefined } & ClientOptions)
  | ({ readonly role: 'server' } & ServerHandshakeOptions);

/** TLS over a connection that exists already, in either role whoever dialled it. */
export function wrap(
  raw: Duplex,
  options: WrapOptions,
  settings: OffloadSettings,
  handshaker: Handshaker,
): OffloadSocket {
  refuseForeignOptions(options);
  const handshake =
    options.role === 'client'
      ? clientHandshake(options, options.host, settings).handshake
      : serverHandshake(options, settings);
  return new OffloadSocket({ ...handshake, raw, handshaker });
}
