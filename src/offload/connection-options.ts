import { requirePeerPattern } from './peer-pattern.ts';
import { parsePublicKeyHash } from './public-key-hash.ts';
import type { KeyingMaterialRequest, PeerName } from './session.ts';

/** What clients and servers may both be told about a connection. */
export interface CommonConnectionOptions {
  /** ALPN names, most preferred first. */
  readonly ALPNProtocols?: readonly (string | Uint8Array)[] | Uint8Array | undefined;
  /** Fail the handshake unless one of `ALPNProtocols` is agreed on. Default: as the sidecar has it. */
  readonly requireApplicationProtocol?: boolean | undefined;
  /**
   * Hashes of public keys, `sha256:` and hexadecimal: the peer has to show a self-signed certificate for
   * one of them, instead of a chain and a name. The sidecar must allow it: permission `pinnedPeers`.
   */
  readonly pinnedPublicKeys?: readonly string[] | undefined;
  /** Secrets `exportKeyingMaterial` will be asked for. */
  readonly keyingMaterial?: readonly KeyingMaterialRequest[] | undefined;
  /** Milliseconds from the TCP connection to the secure one. */
  readonly handshakeTimeout?: number | undefined;
  /** Whether our side stays open when the peer has ended its own. Default: false. */
  readonly allowHalfOpen?: boolean | undefined;
  readonly highWaterMark?: number | undefined;
}

/** ALPN names from any of the forms `node:tls` takes. */
export function applicationProtocols(
  option: CommonConnectionOptions['ALPNProtocols'],
): readonly string[] {
  if (option === undefined) return [];
  if (option instanceof Uint8Array) return namesIn(option);
  return option.map((name) => {
    const text = typeof name === 'string' ? name : latin1(name);
    if (text.length === 0 || text.length > 255) {
      throw new RangeError(`ALPN name of ${String(text.length)} bytes`);
    }
    return text;
  });
}

/** The hashes of option `pinnedPublicKeys`; none: there is no such option. */
export function pinnedPublicKeys(
  option: CommonConnectionOptions['pinnedPublicKeys'],
): readonly Uint8Array[] {
  if (option?.length === 0) throw new TypeError('pinnedPublicKeys is empty: no peer would do');
  return (option ?? []).map(parsePublicKeyHash);
}

/** `spiffe://…`, also with `/*` as its last segment, or a DNS name. */
export function peerName(text: string): PeerName {
  if (text === '') throw new TypeError('target identity is empty');
  return text.startsWith('spiffe://')
    ? { type: 'spiffe', id: requirePeerPattern(text) }
    : { type: 'hostname', name: text };
}

export function keyingMaterial(
  requests: readonly KeyingMaterialRequest[] | undefined,
): readonly KeyingMaterialRequest[] {
  return (requests ?? []).map(({ label, length, context }) => {
    if (!(length >= 1 && length <= maxKeyingMaterialBytes)) {
      throw new RangeError(`keying material "${label}" of ${String(length)} bytes`);
    }
    return { label, length, ...(context === undefined ? {} : { context: Buffer.from(context) }) };
  });
}

/**
 * Options of `node:tls` that would have to be obeyed by whoever holds the keys. Taking them in
 * silence would make a connection look safer, or other, than it is.
 *
 * @throws TypeError naming the first one found
 */
export function refuseForeignOptions(options: object): void {
  for (const [name, reason] of foreignOptions) {
    const value: unknown = Reflect.get(options, name);
    if (value !== undefined && value !== null) {
      throw new TypeError(`option ${name} has no effect here: ${reason}`);
    }
  }
  if ('rejectUnauthorized' in options && options.rejectUnauthorized === false) {
    throw new TypeError('peers are always verified: rejectUnauthorized cannot be false');
  }
}

function namesIn(wire: Uint8Array): readonly string[] {
  const names: string[] = [];
  for (let offset = 0; offset < wire.length;) {
    const length = wire[offset] ?? 0;
    const name = wire.subarray(offset + 1, offset + 1 + length);
    if (length === 0 || name.length !== length) throw new RangeError('malformed ALPN list');
    names.push(latin1(name));
    offset += 1 + length;
  }
  return names;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

const foreignOptions = [
  ['key', 'private keys live in the sidecar'],
  ['cert', 'certificates live in the sidecar; choose one by option identity'],
  ['pfx', 'private keys live in the sidecar'],
  ['ca', 'the sidecar has the trust bundle'],
  ['crl', 'the sidecar has the revocations'],
  ['secureContext', 'private keys live in the sidecar'],
  ['pskCallback', 'pre-shared keys are not supported'],
  ['privateKeyIdentifier', 'private keys live in the sidecar'],
] as const;

/** What a sidecar gives for one label. */
const maxKeyingMaterialBytes = 1024;
