import {
  constants,
  sign as nodeSign,
  verify as nodeVerify,
  type KeyObject,
  type SignKeyObjectInput,
} from 'node:crypto';
import { hashLength, type HashName } from './hash.ts';
import { keyKindOf, type KeyKind } from './keys.ts';

/** What a SignatureScheme number of TLS stands for (RFC 8446 §4.2.3, RFC 8422 §5.1.3). */
export interface SignatureAlgorithm {
  /** IANA number. */
  readonly code: number;
  /** IANA name. */
  readonly name: string;
  /** Kinds of keys that can make it in TLS 1.2, where ECDSA binds no hash to a curve. */
  readonly keyKinds: readonly KeyKind[];
  /** Absent: the signature takes the message itself (Ed25519). */
  readonly hash: HashName | undefined;
  /** How an RSA signature is padded; `none` for other keys. */
  readonly padding: 'none' | 'pkcs1' | 'pss';
}

/** The algorithm of a scheme number, if we speak it. SHA-1 and MD5 are not among them (RFC 9155). */
export function signatureAlgorithm(code: number): SignatureAlgorithm | undefined {
  return byCode.get(code);
}

/**
 * Whether TLS 1.2 lets a key of this kind sign under a scheme, and an RSA modulus of this length
 * has room for it.
 */
export function schemeFitsKey(code: number, kind: KeyKind, rsaModulusBytes: number): boolean {
  const algorithm = byCode.get(code);
  if (!algorithm?.keyKinds.includes(kind)) return false;
  return rsaModulusBytes >= minModulusBytes(algorithm);
}

/** The schemes a key can sign under, in the order in which we like them: PSS before PKCS #1. */
export function schemesForKey(kind: KeyKind, rsaModulusBytes: number): readonly number[] {
  return algorithms
    .map(({ code }) => code)
    .filter((code) => schemeFitsKey(code, kind, rsaModulusBytes))
    .sort((a, b) => Number(isNaturalFor(b, kind)) - Number(isNaturalFor(a, kind)));
}

/** Bytes of an RSA modulus; 0 for other keys. */
export function rsaModulusBytes(key: KeyObject): number {
  return Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
}

/**
 * Whether a key is one we use and judge: the curves of {@link KeyKind}, or RSA of 2048 to 8192
 * bits with an odd public exponent from 65537 up to 2^33, so that no peer makes us compute more.
 */
export function isAcceptableKey(key: KeyObject): boolean {
  const kind = keyKindOf(key);
  if (kind === undefined) return false;
  if (kind !== 'rsa' && kind !== 'rsa-pss') return true;
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  return (
    modulusLength >= 2048 &&
    modulusLength <= 8192 &&
    publicExponent >= 65537n &&
    publicExponent <= 1n << 33n &&
    (publicExponent & 1n) === 1n
  );
}

/**
 * What a key restricted to parameters may sign with
 * ({@link https://www.rfc-editor.org/rfc/rfc4055#section-3.1 | RFC 4055 §3.1}): one hash, used for the mask
 * as well, and no less salt than stated, where TLS takes as much as the digest has. `undefined`: the
 * key is not restricted.
 */
export function schemesOfRestrictedKey(key: KeyObject): readonly number[] | undefined {
  const { hashAlgorithm, mgf1HashAlgorithm, saltLength = 0 } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType !== 'rsa-pss' || hashAlgorithm === undefined) return undefined;
  return algorithms
    .filter(({ hash, padding, keyKinds }) => {
      if (hash !== hashAlgorithm || hash !== mgf1HashAlgorithm) return false;
      return padding === 'pss' && keyKinds.includes('rsa-pss') && saltLength <= hashLength[hash];
    })
    .map(({ code }) => code);
}

/**
 * Signs `content`, which is not yet hashed. Blocks for up to milliseconds with RSA: services use
 * {@link sign}. Throws `TypeError` when scheme and key do not fit.
 */
export function signSync(key: KeyObject, code: number, content: Uint8Array): Uint8Array {
  const algorithm = fittingAlgorithm(key, code);
  if (algorithm === undefined) throw unfit(code);
  return nodeSign(algorithm.hash, content, keyInput(key, algorithm));
}

/** As {@link signSync}; RSA and P-384 run on the thread pool, the others are faster than the way there. */
export async function sign(key: KeyObject, code: number, content: Uint8Array): Promise<Uint8Array> {
  const algorithm = fittingAlgorithm(key, code);
  if (algorithm === undefined) throw unfit(code);
  if (algorithm.padding === 'none' && keyKindOf(key) !== 'ecdsa-p384') {
    return nodeSign(algorithm.hash, content, keyInput(key, algorithm));
  }
  return await new Promise<Uint8Array>((resolve, reject) => {
    nodeSign(algorithm.hash, content, keyInput(key, algorithm), (error, signature) => {
      if (error === null) resolve(signature);
      else reject(error);
    });
  });
}

/**
 * Whether `signature` is one of `content` by `publicKey` under a scheme. `false` for everything
 * that is wrong, be it an unknown scheme, a key that does not fit it or is not acceptable, or
 * bytes that are no signature; never throws.
 */
export function verifySignature(
  publicKey: KeyObject,
  code: number,
  content: Uint8Array,
  signature: Uint8Array,
): boolean {
  const algorithm = fittingAlgorithm(publicKey, code);
  if (algorithm === undefined || !isAcceptableKey(publicKey)) return false;
  // RFC 8017 §8.1.2 step 1. OpenSSL takes one for PSS whose leading zero is left out.
  const isRsa = algorithm.padding !== 'none';
  if (isRsa && signature.length !== rsaModulusBytes(publicKey)) return false;
  try {
    return nodeVerify(algorithm.hash, content, keyInput(publicKey, algorithm), signature);
  } catch {
    // OpenSSL reports some malformed signatures, and PSS parameters of the key that forbid the
    // scheme, as errors: to the caller all of them are a signature that does not verify.
    return false;
  }
}

function fittingAlgorithm(key: KeyObject, code: number): SignatureAlgorithm | undefined {
  const kind = keyKindOf(key);
  if (kind === undefined || !schemeFitsKey(code, kind, rsaModulusBytes(key))) return undefined;
  return byCode.get(code);
}

/** Node's defaults are not TLS's: left out, the salt length is the maximum, or any on verifying. */
function keyInput(key: KeyObject, algorithm: SignatureAlgorithm): KeyObject | SignKeyObjectInput {
  switch (algorithm.padding) {
    case 'none':
      return key;
    case 'pkcs1':
      return { key, padding: constants.RSA_PKCS1_PADDING };
    case 'pss':
      return {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      };
  }
}

/** RFC 8017 §9.1.1: emLen >= hLen + sLen + 2; §9.2: emLen >= tLen + 11, tLen = 19 + hLen. */
function minModulusBytes({ hash, padding }: SignatureAlgorithm): number {
  if (padding === 'none' || hash === undefined) return 0;
  const length = hashLength[hash];
  // One more for PSS, whose emLen is short of the modulus by one when modBits = 8k + 1.
  return padding === 'pss' ? 2 * length + 3 : length + 30;
}

function isNaturalFor(code: number, kind: KeyKind): boolean {
  return code === naturalScheme[kind];
}

function unfit(code: number): TypeError {
  return new TypeError(`signature scheme 0x${code.toString(16)} does not fit the key`);
}

const ecdsa = { keyKinds: ['ecdsa-p256', 'ecdsa-p384'], padding: 'none' } as const;
const pssRsae = { keyKinds: ['rsa'], padding: 'pss' } as const;
const pssPss = { keyKinds: ['rsa-pss'], padding: 'pss' } as const;
const pkcs1 = { keyKinds: ['rsa'], padding: 'pkcs1' } as const;

/** In order of preference for each kind of key. */
const algorithms: readonly SignatureAlgorithm[] = [
  { code: 0x0403, name: 'ecdsa_secp256r1_sha256', hash: 'sha256', ...ecdsa },
  { code: 0x0503, name: 'ecdsa_secp384r1_sha384', hash: 'sha384', ...ecdsa },
  { code: 0x0807, name: 'ed25519', hash: undefined, keyKinds: ['ed25519'], padding: 'none' },
  { code: 0x0804, name: 'rsa_pss_rsae_sha256', hash: 'sha256', ...pssRsae },
  { code: 0x0805, name: 'rsa_pss_rsae_sha384', hash: 'sha384', ...pssRsae },
  { code: 0x0806, name: 'rsa_pss_rsae_sha512', hash: 'sha512', ...pssRsae },
  { code: 0x0809, name: 'rsa_pss_pss_sha256', hash: 'sha256', ...pssPss },
  { code: 0x080a, name: 'rsa_pss_pss_sha384', hash: 'sha384', ...pssPss },
  { code: 0x080b, name: 'rsa_pss_pss_sha512', hash: 'sha512', ...pssPss },
  { code: 0x0401, name: 'rsa_pkcs1_sha256', hash: 'sha256', ...pkcs1 },
  { code: 0x0501, name: 'rsa_pkcs1_sha384', hash: 'sha384', ...pkcs1 },
  { code: 0x0601, name: 'rsa_pkcs1_sha512', hash: 'sha512', ...pkcs1 },
];

const byCode = new Map(algorithms.map((algorithm) => [algorithm.code, algorithm]));

/** The hash as strong as the curve comes first, though TLS 1.2 would take the other too. */
const naturalScheme: Readonly<Partial<Record<KeyKind, number>>> = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
};
