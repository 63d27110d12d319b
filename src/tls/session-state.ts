import { copyOf } from '../bytes/bytes.ts';
import { Reader, ReadError } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { cipherSuiteByCode, type CipherSuite } from './cipher-suites.ts';
import type { ServerConfig } from './config.ts';

/** What a server needs to resume a session, and to judge whether it still may. */
export interface ServerSession {
  readonly cipherSuite: CipherSuite;
  readonly extendedMasterSecret: boolean;
  /** 48 bytes. */
  readonly masterSecret: Uint8Array;
  /** Time of the full handshake: a ticket issued again does not live longer. */
  readonly createdAt: Date;
  readonly serverName: string | undefined;
  /** SHA-256 of the leaf we showed. */
  readonly credentialFingerprint: Uint8Array;
  readonly clientAuth: ServerConfig['clientAuth'];
  readonly sessionContext: Uint8Array;
  /** The client's, DER, leaf first; empty if it showed none. */
  readonly peerCertificates: readonly Uint8Array[];
}

// struct {
//   uint8 format;                               1
//   CipherSuite cipher_suite;
//   uint8 extended_master_secret;               0 or 1
//   uint8 client_auth;                          none(0), request(1), require(2)
//   opaque master_secret[48];
//   uint64 created_at;                          milliseconds since 1970
//   opaque server_name<0..253>;                 empty: none
//   opaque credential_fingerprint[32];
//   opaque session_context<0..255>;
//   ASN.1Cert peer_certificates<0..2^24-1>;
// } ServerSession;

/**
 * The plaintext of a ticket ({@link https://www.rfc-editor.org/rfc/rfc5077#section-4 | RFC 5077 §4}
 * leaves its form to us). Holds the master secret: the caller wipes it once sealed. Throws
 * `RangeError` for a field that has not its length.
 */
export function encodeServerSession(session: ServerSession): Uint8Array {
  requireLength('master secret', session.masterSecret, masterSecretBytes);
  requireLength('credential fingerprint', session.credentialFingerprint, fingerprintBytes);
  const writer = new Writer();
  writer.u8(formatVersion).u16(session.cipherSuite.code);
  writer.u8(session.extendedMasterSecret ? 1 : 0).u8(clientAuthModes.indexOf(session.clientAuth));
  writer.bytes(session.masterSecret).u64(BigInt(session.createdAt.getTime()));
  writer.vec8(Buffer.from(session.serverName ?? '', 'latin1'));
  writer.bytes(session.credentialFingerprint).vec8(session.sessionContext);
  writer.vec24(() => {
    for (const certificate of session.peerCertificates) writer.vec24(certificate);
  });
  return writer.finishAndWipe();
}

/**
 * Reads what {@link encodeServerSession} wrote; everything is copied, so the plaintext may be wiped.
 * `undefined` for another format or a suite we no longer have: the handshake then is a full one.
 */
export function decodeServerSession(plaintext: Uint8Array): ServerSession | undefined {
  try {
    const reader = new Reader(plaintext);
    const session = reader.u8() === formatVersion ? readSession(reader) : undefined;
    if (session !== undefined) reader.end();
    return session;
  } catch (error) {
    if (error instanceof ReadError) return undefined;
    throw error;
  }
}

function readSession(reader: Reader): ServerSession | undefined {
  const cipherSuite = cipherSuiteByCode(reader.u16());
  const extendedMasterSecret = booleans[reader.u8()];
  const clientAuth = clientAuthModes[reader.u8()];
  if (cipherSuite === undefined) return undefined;
  if (extendedMasterSecret === undefined || clientAuth === undefined) return undefined;
  const masterSecret = copyOf(reader.take(masterSecretBytes));
  const createdAt = new Date(Number(reader.u64()));
  if (Number.isNaN(createdAt.getTime())) return undefined;
  const serverName = Buffer.from(reader.vec8().rest()).toString('latin1');
  const credentialFingerprint = copyOf(reader.take(fingerprintBytes));
  const sessionContext = copyOf(reader.vec8().rest());
  const list = reader.vec24();
  const peerCertificates: Uint8Array[] = [];
  while (list.remaining > 0) peerCertificates.push(copyOf(list.vec24().rest()));
  return {
    cipherSuite,
    extendedMasterSecret,
    masterSecret,
    createdAt,
    serverName: serverName === '' ? undefined : serverName,
    credentialFingerprint,
    clientAuth,
    sessionContext,
    peerCertificates,
  };
}

function requireLength(name: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`${name} is not ${String(length)} bytes`);
}

const formatVersion = 1;
const masterSecretBytes = 48;
const fingerprintBytes = 32;
const booleans: readonly boolean[] = [false, true];
const clientAuthModes: readonly ServerConfig['clientAuth'][] = ['none', 'request', 'require'];
