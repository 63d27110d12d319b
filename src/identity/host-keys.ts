import { createPublicKey, type KeyObject } from 'node:crypto';
import { wipe } from '../bytes/bytes.ts';
import type { Reader } from '../bytes/reader.ts';
import type { Writer } from '../bytes/writer.ts';
import { generateKeyPairAsync } from '../crypto/key-generation.ts';
import { createCertificateRequest, importPrivateKey } from '../pki/index.ts';
import type { DecryptionKeyType, TlsKeyType } from './options.ts';

/** The private keys of a host. */
export interface HostKeys {
  readonly tls: KeyObject;
  /** Opens what is encrypted for the host; absent: it wants none. */
  readonly decryption: KeyObject | undefined;
}

/** Requests for certificates of them, PKCS #10, DER. */
export interface HostRequests {
  readonly tlsRequest: Uint8Array;
  /** Empty: none is wanted. */
  readonly decryptionRequest: Uint8Array;
}

export async function makeHostKeys(
  tls: TlsKeyType,
  decryption: DecryptionKeyType,
): Promise<HostKeys> {
  const tlsPair = await generateKeyPairAsync(tls);
  const decryptionPair = decryption === 'none' ? undefined : await generateKeyPairAsync(decryption);
  return { tls: tlsPair.privateKey, decryption: decryptionPair?.privateKey };
}

/** Requests say nothing but the keys: names are the authority's to give. */
export function makeRequests({ tls, decryption }: HostKeys): HostRequests {
  return {
    tlsRequest: request(tls),
    decryptionRequest: decryption === undefined ? new Uint8Array() : request(decryption),
  };
}

/** DER `SubjectPublicKeyInfo` of a private key. */
export function publicInfo(privateKey: KeyObject): Uint8Array {
  return createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
}

/* struct { opaque tls_key<0..2^16-1>; opaque decryption_key<0..2^16-1>; } HostKeys;  -- PKCS #8, DER */
export function writeHostKeys(writer: Writer, { tls, decryption }: HostKeys): void {
  for (const key of [tls, decryption]) {
    const der = key?.export({ type: 'pkcs8', format: 'der' }) ?? Buffer.alloc(0);
    writer.vec16(der);
    wipe(der);
  }
}

/** The bytes read are the caller's to wipe. Throws `CertificateError`. */
export function readHostKeys(reader: Reader): HostKeys {
  const tls = importPrivateKey(reader.vec16().rest(), 'pkcs8');
  const decryption = reader.vec16().rest();
  return {
    tls,
    decryption: decryption.length === 0 ? undefined : importPrivateKey(decryption, 'pkcs8'),
  };
}

function request(privateKey: KeyObject): Uint8Array {
  return createCertificateRequest({ publicKey: createPublicKey(privateKey), privateKey });
}
