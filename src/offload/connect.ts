import {
  connect as connectSocket,
  isIP,
  type OnReadOpts,
  type Socket,
  type TcpNetConnectOpts,
} from 'node:net';
import { addAbortSignal, type Duplex } from 'node:stream';
import type { PeerCertificate } from 'node:tls';
import {
  applicationProtocols,
  type CommonConnectionOptions,
  keyingMaterial,
  peerName,
  pinnedPublicKeys,
  refuseForeignOptions,
} from './connection-options.ts';
import { asError } from './errors.ts';
import type { Handshaker } from './handshaker.ts';
import { OffloadSocket, type ReceiveBytes } from './offload-socket.ts';
import { type OffloadSettings, positive } from './settings.ts';
import type { ClientStart } from './sidecar-messages.ts';

/** As for `tls.connect`, without what concerns keys and trust: that is the sidecar's. */
export interface ConnectOptions extends ClientOptions, TcpOptions {
  readonly host?: string | undefined;
  readonly port?: number | string | undefined;
  /** Unix socket, instead of host and port. */
  readonly path?: string | null | undefined;
  /** A connection that exists already, instead of host and port. */
  readonly socket?: Duplex | undefined;
  /** Destroys the socket with an `AbortError`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds of silence after which `timeout` is emitted. */
  readonly timeout?: number | undefined;
}

/** Options of `net.connect` that are passed on. */
export type TcpOptions = Pick<TcpNetConnectOpts, (typeof tcpOptionNames)[number]>;

/** What a client says about a handshake, whatever it goes over. */
export interface ClientOptions extends CommonConnectionOptions {
  /** Name the peer's certificate must be for, and SNI. Default: `host`. */
  readonly servername?: string | undefined;
  /**
   * SPIFFE IDs or DNS names of which the peer must prove one, instead of `servername`. A SPIFFE ID may
   * end in `/*`, which stands for any one segment: `spiffe://example.org/manager/*`.
   */
  readonly targetIdentities?: readonly string[] | undefined;
  /** Name of an identity in the sidecar's configuration. Absent: the sidecar's default. */
  readonly identity?: string | undefined;
  /** Show no certificate even if the server asks. */
  readonly anonymous?: boolean | undefined;
  /**
   * One more check of the peer by the application, after the sidecar's: an error refuses it. It
   * cannot allow what the sidecar refused.
   */
  readonly checkServerIdentity?:
    ((name: string, certificate: PeerCertificate) => Error | undefined) | undefined;
}

/** Makes a connection; the socket is returned at once and takes writes. */
export function connect(
  options: ConnectOptions,
  settings: OffloadSettings,
  handshaker: Handshaker,
): OffloadSocket {
  refuseForeignOptions(options);
  const { handshake, name } = clientHandshake(options, options.host, settings);
  const below =
    options.socket === undefined ? dial(options) : { raw: options.socket, attach: undefined };
  const socket = new OffloadSocket({ ...handshake, ...below, handshaker });
  if (options.timeout !== undefined) socket.setTimeout(options.timeout);
  if (options.signal !== undefined) addAbortSignal(options.signal, socket);
  socket.servername = isIP(name) === 0 ? name : false;
  return socket;
}

/** What in `options` is ours. */
export function clientOptionsOf(options: ClientOptions): ClientOptions {
  const {
    servername,
    targetIdentities,
    identity,
    anonymous,
    checkServerIdentity,
    ALPNProtocols,
    requireApplicationProtocol,
    pinnedPublicKeys: pins,
    keyingMaterial: material,
    handshakeTimeout,
    allowHalfOpen,
    highWaterMark,
  } = options;
  const picked = {
    servername,
    targetIdentities,
    identity,
    anonymous,
    checkServerIdentity,
    ALPNProtocols,
    requireApplicationProtocol,
    pinnedPublicKeys: pins,
    keyingMaterial: material,
    handshakeTimeout,
    allowHalfOpen,
    highWaterMark,
  };
  return Object.fromEntries(Object.entries(picked).filter(([, value]) => value !== undefined));
}

/** Everything about a client's handshake but the connection it runs over. */
export function clientHandshake(
  options: ClientOptions,
  host: string | undefined,
  settings: OffloadSettings,
) {
  const targetIdentities = (options.targetIdentities ?? []).map(peerName);
  const name = options.servername ?? host ?? 'localhost';
  const check = options.checkServerIdentity;
  const start: ClientStart = {
    role: 'client',
    applicationProtocols: applicationProtocols(options.ALPNProtocols),
    targetName: name,
    targetIdentities,
    identity: options.identity ?? settings.identity,
    anonymous: options.anonymous ?? false,
    keyingMaterial: keyingMaterial(options.keyingMaterial),
    pinnedPublicKeys: pinnedPublicKeys(options.pinnedPublicKeys),
    requireApplicationProtocol: options.requireApplicationProtocol ?? false,
  };
  const handshake = {
    start,
    servername: isIP(name) === 0 ? name : undefined,
    handshakeTimeoutMs: positive(
      'handshakeTimeout',
      options.handshakeTimeout ?? settings.handshakeMs,
    ),
    connectTimeoutMs: settings.connectMs,
    recordCipher: settings.recordCipher,
    allowHalfOpen: options.allowHalfOpen ?? false,
    highWaterMark: options.highWaterMark ?? settings.highWaterMark,
    checkPeer:
      check === undefined ? undefined : (socket: OffloadSocket) => verdict(check, name, socket),
  };
  return { handshake, name };
}

function verdict(
  check: NonNullable<ClientOptions['checkServerIdentity']>,
  name: string,
  socket: OffloadSocket,
): Error | undefined {
  try {
    // A peer of a client has always shown a certificate.
    return check(name, socket.getPeerCertificate(true) as PeerCertificate);
  } catch (error) {
    return asError(error);
  }
}

interface Connection {
  readonly raw: Socket;
  readonly attach: (receive: ReceiveBytes) => void;
}

/**
 * Opens the TCP connection. Its bytes are read into one piece of memory shared by all such sockets:
 * each read is used up before the next can begin, and idle connections cost no buffer.
 */
function dial(options: ConnectOptions): Connection {
  let receive: ReceiveBytes = () => undefined;
  const onread: OnReadOpts = {
    buffer: (receiveBuffer ??= Buffer.allocUnsafeSlow(receiveBufferBytes)),
    callback: (length, buffer) => {
      receive(buffer.subarray(0, length), true);
      return true;
    },
  };
  const { path, host, port } = options;
  const where =
    path === undefined || path === null
      ? { ...tcpOptions(options), host: host ?? 'localhost', port: portNumber(port) }
      : { path };
  const raw = connectSocket({ noDelay: true, ...where, allowHalfOpen: true, onread });
  return {
    raw,
    attach: (receiver) => {
      receive = receiver;
    },
  };
}

/** Libraries hand over all they have: only what is meant for the TCP connection is taken. */
function tcpOptions(options: ConnectOptions): TcpOptions {
  const entries = tcpOptionNames.map((name) => [name, options[name]] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function portNumber(port: number | string | undefined): number {
  if (port === undefined) throw new TypeError('connect needs a port, a path or a socket');
  const number = Number(port);
  if (Number.isInteger(number) && number >= 0 && number <= 65_535) return number;
  throw new RangeError(`port ${String(port)} is out of range`);
}

const tcpOptionNames = [
  'family',
  'hints',
  'lookup',
  'localAddress',
  'localPort',
  'noDelay',
  'keepAlive',
  'keepAliveInitialDelay',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
] as const;

let receiveBuffer: Buffer | undefined;
/** Two reads' worth of the kernel's usual receive buffer; more gains nothing. */
const receiveBufferBytes = 131_072;
