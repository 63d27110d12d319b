import { copyOf, wipe } from '../bytes/bytes.ts';
import { Reader, ReadError } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { CertificateError } from '../pki/index.ts';
import { type HostKeys, type HostRequests, readHostKeys, writeHostKeys } from './host-keys.ts';
import { StateFileError } from './state-file.ts';

/**
 * What is about to be asked of the authority. On disk before the first byte goes out, so that
 * whoever comes back after a crash asks with the same token and the same keys, and so gets the same
 * answer.
 */
export interface PendingSlot {
  readonly purpose: PendingPurpose;
  readonly keys: HostKeys;
  readonly requests: HostRequests;
  /** Of the bundle, or for the renewal. */
  readonly token: string;
}

export type PendingPurpose =
  /** With the bundle file as it was given, private key included. */
  { readonly tag: 'enrolment'; readonly bundle: Uint8Array } | { readonly tag: 'renewal' };

/*
 * struct {
 *   uint8 purpose;  -- 1: enrolment, 2: renewal
 *   HostKeys keys;
 *   opaque tls_request<0..2^16-1>;  opaque decryption_request<0..2^16-1>;
 *   opaque token<0..2^16-1>;
 *   opaque bundle<0..2^24-1>;  -- empty unless enrolment
 * } PendingSlot;
 */

/** Holds private keys: for the caller to wipe. */
export function encodePendingSlot({ purpose, keys, requests, token }: PendingSlot): Uint8Array {
  const writer = new Writer().u8(purpose.tag === 'enrolment' ? enrolment : renewal);
  writeHostKeys(writer, keys);
  return writer
    .vec16(requests.tlsRequest)
    .vec16(requests.decryptionRequest)
    .vec16(Buffer.from(token, 'utf8'))
    .vec24(purpose.tag === 'enrolment' ? purpose.bundle : new Uint8Array())
    .finishAndWipe();
}

/** Wipes `body`, which holds private keys. Throws {@link StateFileError}. */
export function decodePendingSlot(body: Uint8Array): PendingSlot {
  try {
    const reader = new Reader(body);
    const purpose = reader.u8();
    const keys = readHostKeys(reader);
    const requests = {
      tlsRequest: copyOf(reader.vec16().rest()),
      decryptionRequest: copyOf(reader.vec16().rest()),
    };
    const token = Buffer.from(reader.vec16().rest()).toString('utf8');
    const bundle = copyOf(reader.vec24().rest());
    reader.end();
    if (purpose !== enrolment && purpose !== renewal) throw new ReadError('unknown purpose');
    return {
      purpose: purpose === enrolment ? { tag: 'enrolment', bundle } : { tag: 'renewal' },
      keys,
      requests,
      token,
    };
  } catch (cause) {
    if (!(cause instanceof ReadError || cause instanceof CertificateError)) throw cause;
    throw new StateFileError(`cannot be used: ${cause.message}`, { cause });
  } finally {
    wipe(body);
  }
}

const enrolment = 1;
const renewal = 2;
