import type { AeadAlgorithm } from '../crypto/aead.ts';

/** What a suite stands for. All are ECDHE with AEAD (RFC 5289, RFC 7905). */
export interface CipherSuite {
  /** IANA number. */
  readonly code: number;
  /** IANA name. */
  readonly name: string;
  /** OpenSSL's name, as `tls.TLSSocket#getCipher` reports it. */
  readonly openSslName: string;
  /** What the server's key must be: `ecdsa` covers Ed25519 (RFC 8422 §5.10). */
  readonly authentication: 'ecdsa' | 'rsa';
  readonly aead: AeadAlgorithm;
  /** Hash of the PRF and of Finished. */
  readonly hash: 'sha256' | 'sha384';
  /** Bytes of each write key. */
  readonly keyLength: 16 | 32;
  /** Bytes of each implicit nonce: the salt of GCM, the whole IV of ChaCha20-Poly1305. */
  readonly fixedNonceLength: 4 | 12;
}

const gcm128 = {
  aead: 'aes-128-gcm',
  hash: 'sha256',
  keyLength: 16,
  fixedNonceLength: 4,
} as const;
const gcm256 = {
  aead: 'aes-256-gcm',
  hash: 'sha384',
  keyLength: 32,
  fixedNonceLength: 4,
} as const;
const chacha = {
  aead: 'chacha20-poly1305',
  hash: 'sha256',
  keyLength: 32,
  fixedNonceLength: 12,
} as const;

/** All suites, in the order in which our server prefers them. */
export const cipherSuites: readonly CipherSuite[] = [
  {
    code: 0xc02b,
    name: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    openSslName: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    authentication: 'ecdsa',
    ...gcm128,
  },
  {
    code: 0xc02f,
    name: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
    openSslName: 'ECDHE-RSA-AES128-GCM-SHA256',
    authentication: 'rsa',
    ...gcm128,
  },
  {
    code: 0xc02c,
    name: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    openSslName: 'ECDHE-ECDSA-AES256-GCM-SHA384',
    authentication: 'ecdsa',
    ...gcm256,
  },
  {
    code: 0xc030,
    name: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
    openSslName: 'ECDHE-RSA-AES256-GCM-SHA384',
    authentication: 'rsa',
    ...gcm256,
  },
  {
    code: 0xcca9,
    name: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    openSslName: 'ECDHE-ECDSA-CHACHA20-POLY1305',
    authentication: 'ecdsa',
    ...chacha,
  },
  {
    code: 0xcca8,
    name: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
    openSslName: 'ECDHE-RSA-CHACHA20-POLY1305',
    authentication: 'rsa',
    ...chacha,
  },
];

/** The suite of an IANA number, if we have it. */
export function cipherSuiteByCode(code: number): CipherSuite | undefined {
  return cipherSuites.find((suite) => suite.code === code);
}

/** Signalling values that look like suites and are never chosen (RFC 5746 §3.3, RFC 7507). */
export const TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00ff;
export const TLS_FALLBACK_SCSV = 0x5600;
