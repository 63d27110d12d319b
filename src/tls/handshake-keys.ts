import { wipe } from '../bytes/bytes.ts';
import { KeyExchangeError, type KeyShare } from '../crypto/key-exchange.ts';
import { TlsAlertError } from './alert.ts';
import type { CipherSuite } from './cipher-suites.ts';
import type { ExporterRequest } from './config.ts';
import type { HandshakeConnection } from './handshake-connection.ts';
import {
  exportKeyingMaterial,
  extendedMasterSecret,
  type KeyBlock,
  keyBlock,
  masterSecret,
} from './key-schedule.ts';
import type { RecordProtectionParameters } from './record/protection.ts';
import type { Transcript } from './transcript.ts';

/** What both hellos fix for the key schedule. */
export interface KeyScheduleInput {
  readonly cipherSuite: CipherSuite;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
  readonly extendedMasterSecret: boolean;
}

/** The secrets of a handshake. Registered with the connection, which overwrites them. */
export interface HandshakeKeys {
  readonly masterSecret: Uint8Array;
  readonly keyBlock: KeyBlock;
}

/** The ECDHE result (RFC 8422 §5.10); a bad public value is the peer's `illegal_parameter`. */
export function completeKeyExchange(
  message: string,
  share: KeyShare,
  peerPublicKey: Uint8Array,
): Uint8Array {
  try {
    return share.complete(peerPublicKey);
  } catch (error) {
    if (error instanceof KeyExchangeError) {
      throw new TlsAlertError('illegal_parameter', `${message}: ${error.message}`);
    }
    throw error;
  }
}

/**
 * Master secret and key block of a full handshake. Wipes `preMasterSecret`.
 *
 * @param transcript - ends with ClientKeyExchange: its hash binds the master secret to the handshake
 *   ({@link https://www.rfc-editor.org/rfc/rfc7627#section-4 | RFC 7627 §4}).
 */
export function deriveKeys(
  input: KeyScheduleInput,
  preMasterSecret: Uint8Array,
  transcript: Transcript,
  connection: HandshakeConnection,
): HandshakeKeys {
  const { clientRandom, serverRandom } = input;
  const { hash } = input.cipherSuite;
  const master = input.extendedMasterSecret
    ? extendedMasterSecret(hash, preMasterSecret, transcript.digest())
    : masterSecret(hash, preMasterSecret, clientRandom, serverRandom);
  wipe(preMasterSecret);
  return keysFromMasterSecret(input, master, connection);
}

/** The keys of a resumed handshake, whose randoms are new (RFC 5246 §7.3). */
export function keysFromMasterSecret(
  input: KeyScheduleInput,
  master: Uint8Array,
  connection: HandshakeConnection,
): HandshakeKeys {
  const block = keyBlock(input.cipherSuite, master, input.serverRandom, input.clientRandom);
  connection.keep(
    master,
    block.clientWriteKey,
    block.serverWriteKey,
    block.clientWriteIv,
    block.serverWriteIv,
  );
  return { masterSecret: master, keyBlock: block };
}

/** Protection of what the client writes, from its ChangeCipherSpec on. */
export function clientWriteProtection(
  cipherSuite: CipherSuite,
  { keyBlock: { clientWriteKey, clientWriteIv } }: HandshakeKeys,
): RecordProtectionParameters {
  return protection(cipherSuite, clientWriteKey, clientWriteIv);
}

/** Protection of what the server writes, from its ChangeCipherSpec on. */
export function serverWriteProtection(
  cipherSuite: CipherSuite,
  { keyBlock: { serverWriteKey, serverWriteIv } }: HandshakeKeys,
): RecordProtectionParameters {
  return protection(cipherSuite, serverWriteKey, serverWriteIv);
}

/**
 * RFC 5705 values, one per request; none without extended master secret, as two connections could
 * then share them ({@link https://www.rfc-editor.org/rfc/rfc7627#section-5.4 | RFC 7627 §5.4}).
 */
export function deriveKeyingMaterial(
  input: KeyScheduleInput,
  master: Uint8Array,
  requests: readonly ExporterRequest[],
  connection: HandshakeConnection,
): readonly Uint8Array[] {
  if (!input.extendedMasterSecret) return [];
  const { cipherSuite, clientRandom, serverRandom } = input;
  return requests.map((request) => {
    const material = exportKeyingMaterial(
      cipherSuite.hash,
      master,
      clientRandom,
      serverRandom,
      request,
    );
    connection.keep(material);
    return material;
  });
}

/** One record each way goes through the engine, so the cipher with the cheapest start is right. */
function protection(
  cipherSuite: CipherSuite,
  key: Uint8Array,
  fixedNonce: Uint8Array,
): RecordProtectionParameters {
  return { cipherSuite, key, fixedNonce, sequenceNumber: 0n, provider: 'node' };
}
