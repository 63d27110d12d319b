import { concat, wipe } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import { prf, type PrfHash } from '../crypto/prf.ts';
import type { CipherSuite } from './cipher-suites.ts';
import type { ExporterRequest } from './config.ts';
import { verifyDataLength } from './messages/finished.ts';

/**
 * The master secret of a handshake without extended master secret,
 * {@link https://www.rfc-editor.org/rfc/rfc5246#section-8.1 | RFC 5246 §8.1}. Every secret returned
 * by this file is in memory of its own and is the caller's to wipe; arguments stay untouched.
 */
export function masterSecret(
  hash: PrfHash,
  preMasterSecret: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): Uint8Array {
  const seed = concat(clientRandom, serverRandom);
  return prf(hash, preMasterSecret, 'master secret', seed, masterSecretLength);
}

/**
 * The master secret bound to the whole handshake, against triple handshakes
 * ({@link https://www.rfc-editor.org/rfc/rfc7627#section-4 | RFC 7627 §4}).
 *
 * @param sessionHash - hash of ClientHello up to and including ClientKeyExchange.
 */
export function extendedMasterSecret(
  hash: PrfHash,
  preMasterSecret: Uint8Array,
  sessionHash: Uint8Array,
): Uint8Array {
  return prf(hash, preMasterSecret, 'extended master secret', sessionHash, masterSecretLength);
}

/** The four values of the key block of an AEAD suite (no MAC keys). */
export interface KeyBlock {
  readonly clientWriteKey: Uint8Array;
  readonly serverWriteKey: Uint8Array;
  readonly clientWriteIv: Uint8Array;
  readonly serverWriteIv: Uint8Array;
  /** Overwrites all four. */
  wipe(): void;
}

/**
 * {@link https://www.rfc-editor.org/rfc/rfc5246#section-6.3 | RFC 5246 §6.3}. Mind the order of the
 * randoms: here the server's comes first.
 */
export function keyBlock(
  suite: CipherSuite,
  master: Uint8Array,
  serverRandom: Uint8Array,
  clientRandom: Uint8Array,
): KeyBlock {
  const { keyLength, fixedNonceLength } = suite;
  const seed = concat(serverRandom, clientRandom);
  const block = prf(
    suite.hash,
    master,
    'key expansion',
    seed,
    2 * keyLength + 2 * fixedNonceLength,
  );
  const ivs = 2 * keyLength;
  return {
    clientWriteKey: block.subarray(0, keyLength),
    serverWriteKey: block.subarray(keyLength, ivs),
    clientWriteIv: block.subarray(ivs, ivs + fixedNonceLength),
    serverWriteIv: block.subarray(ivs + fixedNonceLength),
    wipe() {
      wipe(block);
    },
  };
}

/**
 * What a Finished holds, {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246
 * §7.4.9}. Compare with `equalConstantTime`.
 *
 * @param transcriptHash - hash of all messages before this Finished.
 */
export function verifyData(
  hash: PrfHash,
  master: Uint8Array,
  label: 'client finished' | 'server finished',
  transcriptHash: Uint8Array,
): Uint8Array {
  return prf(hash, master, label, transcriptHash, verifyDataLength);
}

/**
 * Keying material for a protocol above TLS, {@link https://www.rfc-editor.org/rfc/rfc5705#section-4 |
 * RFC 5705 §4}. Only with extended master secret is it bound to this connection (RFC 7627 §5.4): the
 * caller sees to that.
 *
 * Throws `RangeError` for a request {@link checkExporterRequest} refuses.
 */
export function exportKeyingMaterial(
  hash: PrfHash,
  master: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
  request: ExporterRequest,
): Uint8Array {
  checkExporterRequest(request);
  const seed = new Writer().bytes(clientRandom).bytes(serverRandom);
  if (request.context !== undefined) seed.vec16(request.context);
  return prf(hash, master, request.label, seed.finish(), request.length);
}

/**
 * Refuses (`RangeError`) a label that would give out the keys of the connection itself or is not
 * printable ASCII, and lengths that make no sense.
 */
export function checkExporterRequest(request: ExporterRequest): void {
  if (reservedLabels.has(request.label)) throw new RangeError('exporter label is reserved');
  if (!printableAscii.test(request.label)) throw new RangeError('exporter label is not ASCII');
  if (!Number.isInteger(request.length) || request.length < 1 || request.length > 0xffff) {
    throw new RangeError('exporter length is not between 1 and 65535');
  }
  if ((request.context?.length ?? 0) > 0xffff) throw new RangeError('exporter context too long');
}

const masterSecretLength = 48;
/** All labels TLS itself uses with the master secret or before it (RFC 5705 §4, RFC 7627 §4). */
const reservedLabels: ReadonlySet<string> = new Set([
  'client finished',
  'server finished',
  'master secret',
  'extended master secret',
  'key expansion',
]);
const printableAscii = /^[\x20-\x7e]{0,255}$/;
