import { copyOf, wipe } from '../bytes/bytes.ts';
import { Reader, ReadError } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { hash } from '../crypto/hash.ts';
import { type Certificate, CertificateError, parseCertificate } from '../pki/index.ts';
import { type HostKeys, readHostKeys, writeHostKeys } from './host-keys.ts';
import { StateFileError } from './state-file.ts';

/** All that an enrolled host has of its own: keys, certificates, and the right to renew them. */
export interface CurrentSlot {
  readonly keys: HostKeys;
  /** DER, leaf first, without the root; the leaf is parsed as well. */
  readonly tlsChain: readonly Uint8Array[];
  readonly leaf: Certificate;
  /** Empty: no such certificate. */
  readonly decryptionChain: readonly Uint8Array[];
  /** 16 bytes, the authority's; never changes. */
  readonly agentId: Uint8Array;
  readonly spiffeId: string;
  readonly renewalToken: string;
  /** Counts renewals. */
  readonly generation: number;
  /** Whether more than the limited set of things is allowed. */
  readonly active: boolean;
  readonly properties: ReadonlyMap<string, string>;
  /** SHA-256 of the enrolment token, to know the bundle again. */
  readonly enrolledWith: Uint8Array;
  /** By our clock. */
  readonly issuedAt: Date;
  /** Where within its band the renewal lies: 0 at its start, 1 at its end. */
  readonly renewalDraw: number;
  /** Whether the authority was told that these certificates arrived. */
  readonly confirmed: boolean;
}

/** What is kept of an enrolment token, to know it again. */
export function tokenDigest(token: string): Uint8Array {
  return hash('sha256', utf8(token));
}

/*
 * struct {
 *   HostKeys keys;
 *   Certificate tls_chain<0..2^24-1>, decryption_chain<0..2^24-1>;   -- each opaque<0..2^24-1>
 *   opaque agent_id[16];  opaque spiffe_id<0..2^16-1>;  opaque renewal_token<0..2^16-1>;
 *   uint32 generation;  uint8 flags;  -- 1: active, 2: confirmed
 *   Property properties<0..2^24-1>;   -- each two opaque<0..2^16-1>
 *   opaque enrolled_with[32];  uint64 issued_at_ms;  uint16 renewal_draw;
 * } CurrentSlot;
 */

/** Holds private keys: for the caller to wipe. */
export function encodeCurrentSlot(slot: CurrentSlot): Uint8Array {
  const writer = new Writer();
  writeHostKeys(writer, slot.keys);
  for (const chain of [slot.tlsChain, slot.decryptionChain]) {
    writer.vec24(() => {
      for (const der of chain) writer.vec24(der);
    });
  }
  writer
    .bytes(slot.agentId)
    .vec16(utf8(slot.spiffeId))
    .vec16(utf8(slot.renewalToken))
    .u32(slot.generation)
    .u8((slot.active ? activeFlag : 0) | (slot.confirmed ? confirmedFlag : 0))
    .vec24(() => {
      for (const [name, value] of slot.properties) writer.vec16(utf8(name)).vec16(utf8(value));
    })
    .bytes(slot.enrolledWith)
    .u64(BigInt(slot.issuedAt.getTime()))
    .u16(Math.round(slot.renewalDraw * drawUnit));
  return writer.finishAndWipe();
}

/** Wipes `body`, which holds private keys. Throws {@link StateFileError}. */
export function decodeCurrentSlot(body: Uint8Array): CurrentSlot {
  try {
    return readSlot(new Reader(body));
  } catch (cause) {
    if (!(cause instanceof ReadError || cause instanceof CertificateError)) throw cause;
    throw new StateFileError(`cannot be used: ${cause.message}`, { cause });
  } finally {
    wipe(body);
  }
}

function readSlot(reader: Reader): CurrentSlot {
  const keys = readHostKeys(reader);
  const tlsChain = readChain(reader.vec24());
  const decryptionChain = readChain(reader.vec24());
  const [leaf] = tlsChain;
  if (leaf === undefined) throw new ReadError('no certificate');
  const agentId = copyOf(reader.take(16));
  const spiffeId = text(reader.vec16());
  const renewalToken = text(reader.vec16());
  const generation = reader.u32();
  const flags = reader.u8();
  const properties = readProperties(reader.vec24());
  const enrolledWith = copyOf(reader.take(32));
  const issuedAt = new Date(Number(reader.u64()));
  const renewalDraw = reader.u16() / drawUnit;
  reader.end();
  return {
    keys,
    tlsChain,
    leaf: parseCertificate(leaf),
    decryptionChain,
    agentId,
    spiffeId,
    renewalToken,
    generation,
    active: (flags & activeFlag) !== 0,
    confirmed: (flags & confirmedFlag) !== 0,
    properties,
    enrolledWith,
    issuedAt,
    renewalDraw,
  };
}

function readChain(reader: Reader): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  while (reader.remaining > 0) chain.push(copyOf(reader.vec24().rest()));
  return chain;
}

function readProperties(reader: Reader): ReadonlyMap<string, string> {
  const properties = new Map<string, string>();
  while (reader.remaining > 0) properties.set(text(reader.vec16()), text(reader.vec16()));
  return properties;
}

function text(reader: Reader): string {
  return Buffer.from(reader.rest()).toString('utf8');
}

function utf8(value: string): Uint8Array {
  return Buffer.from(value, 'utf8');
}

const activeFlag = 1;
const confirmedFlag = 2;
const drawUnit = 65_535;
