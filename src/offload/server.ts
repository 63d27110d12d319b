import { Server, type ServerOpts, type Socket } from 'node:net';
import {
  applicationProtocols,
  type CommonConnectionOptions,
  keyingMaterial,
  pinnedPublicKeys,
  refuseForeignOptions,
} from './connection-options.ts';
import type { Handshaker } from './handshaker.ts';
import { OffloadSocket } from './offload-socket.ts';
import { requirePeerPattern } from './peer-pattern.ts';
import { type OffloadSettings, positive } from './settings.ts';
import type { ServerStart } from './sidecar-messages.ts';

/** What a server says about its handshakes, whatever they go over. */
export interface ServerHandshakeOptions extends CommonConnectionOptions {
  /** Names of identities in the sidecar's configuration; chosen among by SNI. Absent: all ours. */
  readonly identities?: readonly string[] | undefined;
  /** Short for one element of `identities`. */
  readonly identity?: string | undefined;
  /**
   * Whether clients must show a certificate. Can be stricter than the sidecar's policy, never laxer.
   * Absent: what the policy says.
   */
  readonly clientAuth?: 'none' | 'request' | 'require' | undefined;
  /**
   * Clients that may connect, by SPIFFE ID; one may end in `/*`, which stands for any one segment:
   * `spiffe://example.org/manager/*`. Others are refused in the handshake. Absent: all the sidecar
   * trusts.
   */
  readonly allowedPeers?: readonly string[] | undefined;
  /** As for `tls.createServer`: true is `clientAuth: 'require'`, false is `'none'`. */
  readonly requestCert?: boolean | undefined;
}

export interface ServerOptions
  extends ServerHandshakeOptions, Omit<ServerOpts, 'allowHalfOpen' | 'highWaterMark'> {}

/**
 * A TLS server in the manner of `tls.Server`: `secureConnection` for every connection whose
 * handshake succeeded, `tlsClientError` for every one whose did not.
 */
export class OffloadServer extends Server {
  readonly #sockets: SecureSockets;

  constructor(
    options: ServerOptions,
    settings: OffloadSettings,
    handshaker: Handshaker,
    onSecure?: (socket: OffloadSocket) => void,
  ) {
    refuseForeignOptions(options);
    super({ noDelay: true, ...options, allowHalfOpen: true, highWaterMark: undefined });
    this.#sockets = new SecureSockets(options, settings, handshaker);
    this.on('connection', (raw: Socket) => {
      this.#sockets.accept(raw, this);
    });
    if (onSecure !== undefined) this.on('secureConnection', onSecure);
  }

  /** Destroys all connections, established or not. */
  closeAllConnections(): void {
    this.#sockets.destroyAll();
  }
}

/** Turns accepted TCP connections into secure ones and tells a server of them. */
export class SecureSockets {
  readonly #handshake: ReturnType<typeof serverHandshake>;
  readonly #handshaker: Handshaker;
  readonly #open = new Set<OffloadSocket>();

  constructor(options: ServerHandshakeOptions, settings: OffloadSettings, handshaker: Handshaker) {
    this.#handshake = serverHandshake(options, settings);
    this.#handshaker = handshaker;
  }

  /** Emits `secureConnection` or `tlsClientError` on `server` once it is known which. */
  accept(raw: Socket, server: Server): void {
    const socket = new OffloadSocket({ ...this.#handshake, raw, handshaker: this.#handshaker });
    socket.server = server;
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    let secure = false;
    // Stays, as in `tls.Server`: no peer may end the process by breaking a connection.
    socket.on('error', (error: Error) => {
      if (!secure) server.emit('tlsClientError', error, socket);
    });
    socket.once('secure', () => {
      secure = true;
      server.emit('secureConnection', socket);
    });
  }

  destroyAll(): void {
    for (const socket of this.#open) socket.destroy();
  }
}

/** Everything about a server's handshakes but the connections they run over. */
export function serverHandshake(options: ServerHandshakeOptions, settings: OffloadSettings) {
  const identity = options.identity ?? settings.identity;
  const start: ServerStart = {
    role: 'server',
    applicationProtocols: applicationProtocols(options.ALPNProtocols),
    identities: options.identities ?? (identity === undefined ? [] : [identity]),
    clientAuth: clientAuth(options),
    allowedPeers: allowedPeers(options.allowedPeers),
    keyingMaterial: keyingMaterial(options.keyingMaterial),
    pinnedPublicKeys: pinnedPublicKeys(options.pinnedPublicKeys),
    requireApplicationProtocol: options.requireApplicationProtocol ?? false,
  };
  return {
    start,
    handshakeTimeoutMs: positive(
      'handshakeTimeout',
      options.handshakeTimeout ?? settings.handshakeMs,
    ),
    connectTimeoutMs: settings.connectMs,
    recordCipher: settings.recordCipher,
    allowHalfOpen: options.allowHalfOpen ?? false,
    highWaterMark: options.highWaterMark ?? settings.highWaterMark,
  };
}

/** What in the options of a server of Node's is Node's. */
export function withoutHandshakeOptions<T extends ServerHandshakeOptions>(
  options: T,
): Omit<T, keyof ServerHandshakeOptions> {
  const entries = Object.entries(options).filter(([name]) => !handshakeOptions.has(name));
  // The type says what is left out, the table the same: every name is checked by the compiler.
  return Object.fromEntries(entries) as Omit<T, keyof ServerHandshakeOptions>;
}

function clientAuth(options: ServerHandshakeOptions): ServerStart['clientAuth'] {
  const { clientAuth: mode, requestCert } = options;
  if (mode !== undefined || requestCert === undefined) return mode;
  return requestCert ? 'require' : 'none';
}

function allowedPeers(option: ServerHandshakeOptions['allowedPeers']): readonly string[] {
  if (option?.length === 0) throw new TypeError('allowedPeers is empty: no peer would do');
  return (option ?? []).map(requirePeerPattern);
}

const handshakeOptions = new Set<string>(
  Object.keys({
    ALPNProtocols: true,
    requireApplicationProtocol: true,
    pinnedPublicKeys: true,
    allowedPeers: true,
    keyingMaterial: true,
    handshakeTimeout: true,
    allowHalfOpen: true,
    highWaterMark: true,
    identities: true,
    identity: true,
    clientAuth: true,
    requestCert: true,
  } satisfies Record<keyof ServerHandshakeOptions, true>),
);
