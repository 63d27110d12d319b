import { fixedToken, TokenFile, type TokenSource } from './access-token.ts';
import type { OffloadEnvironment } from './environment.ts';
import { parseSidecarAddress, type SidecarAddress } from './sidecar-address.ts';

export interface OffloadOptions {
  /** `unix:PATH` or `HOST:PORT` on this host. Absent: environment variable `SIDEKEY_ADDRESS`. */
  readonly address?: string | undefined;
  /** Proves to the sidecar who we are, where its configuration asks for a token. */
  readonly token?: string | undefined;
  /** File with the token; read again when it changes. */
  readonly tokenFile?: string | undefined;
  /** Name of an identity in the sidecar's configuration, unless a connection names its own. */
  readonly identity?: string | undefined;
  readonly timeouts?: OffloadTimeouts | undefined;
  readonly limits?: OffloadLimits | undefined;
  /**
   * What protects records: `native` is OpenSSL by foreign calls, `node` is `node:crypto`. Absent:
   * `SIDEKEY_RECORD_CIPHER`, or else native where it works.
   */
  readonly recordCipher?: 'native' | 'node' | undefined;
}

export interface OffloadTimeouts {
  /** From the TCP connection to the secure one. Default 10,000. */
  readonly handshakeMs?: number | undefined;
  /** For making the TCP connection; 0: as long as the system lets it. Default 30,000. */
  readonly connectMs?: number | undefined;
  /** For reaching a sidecar that is away, within `handshakeMs`. Default 5,000. */
  readonly sidecarMs?: number | undefined;
}

export interface OffloadLimits {
  /** Handshakes at once as client, and as many as server. Default 256. */
  readonly handshakes?: number | undefined;
  /** Handshakes waiting beyond that, for each role. Default 4,096. */
  readonly queue?: number | undefined;
  /** Bytes a socket buffers in each direction before it slows its user down. Default 64 KiB. */
  readonly highWaterMark?: number | undefined;
}

/** Every setting with its value. */
export interface OffloadSettings {
  readonly address: SidecarAddress;
  readonly token: TokenSource;
  readonly identity: string | undefined;
  readonly handshakeMs: number;
  readonly connectMs: number;
  readonly sidecarMs: number;
  readonly handshakes: number;
  readonly queue: number;
  readonly highWaterMark: number;
  readonly recordCipher: 'native' | 'node' | undefined;
}

/**
 * Options first; what they leave out comes from the environment. Token and identity in the
 * environment belong to the address there, so they are left alone when an address is given.
 *
 * @throws TypeError for options that contradict each other or make no sense
 */
export function resolveSettings(
  options: OffloadOptions,
  environment: OffloadEnvironment,
): OffloadSettings {
  const address = options.address ?? environment.address;
  if (address === undefined) {
    throw new TypeError('no sidecar: pass option address or set SIDEKEY_ADDRESS');
  }
  if (options.token !== undefined && options.tokenFile !== undefined) {
    throw new TypeError('token and tokenFile exclude each other');
  }
  const fromEnvironment = options.address === undefined ? environment : undefined;
  const { timeouts = {}, limits = {} } = options;
  return {
    address: parseSidecarAddress(address),
    token: tokenSource(options, fromEnvironment),
    identity: options.identity ?? fromEnvironment?.identity,
    handshakeMs: positive('timeouts.handshakeMs', timeouts.handshakeMs ?? 10_000),
    connectMs: notNegative('timeouts.connectMs', timeouts.connectMs ?? 30_000),
    sidecarMs: notNegative('timeouts.sidecarMs', timeouts.sidecarMs ?? 5000),
    handshakes: positive('limits.handshakes', limits.handshakes ?? 256),
    queue: notNegative('limits.queue', limits.queue ?? 4096),
    highWaterMark: positive('limits.highWaterMark', limits.highWaterMark ?? 65_536),
    recordCipher: recordCipher(options.recordCipher ?? environment.recordCipher),
  };
}

/** A finite number above zero. */
export function positive(name: string, value: number): number {
  if (!(value > 0 && value < Infinity)) throw new RangeError(`${name} must be above 0`);
  return value;
}

function notNegative(name: string, value: number): number {
  if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must not be negative`);
  return value;
}

function tokenSource(
  options: OffloadOptions,
  environment: OffloadEnvironment | undefined,
): TokenSource {
  if (options.token !== undefined) return fixedToken(options.token);
  if (options.tokenFile !== undefined) return new TokenFile(options.tokenFile);
  if (environment?.tokenFile !== undefined) return new TokenFile(environment.tokenFile);
  return fixedToken(environment?.token);
}

function recordCipher(name: string | undefined): 'native' | 'node' | undefined {
  if (name === undefined || name === 'native' || name === 'node') return name;
  throw new TypeError(`record cipher "${name}" is neither native nor node`);
}
