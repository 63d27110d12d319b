import { createPublicKey, verify as nodeVerify } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { hash } from './hash.ts';

/** Verifies ECDSA on P-256 with SHA-256 by keys that are used once. */
export type VerifyOnce = (
  /** Uncompressed point, 65 bytes. */
  point: Uint8Array,
  /** Not yet hashed. */
  content: Uint8Array,
  /** DER. */
  signature: Uint8Array,
) => boolean;

/**
 * Whether a signature is by a P-256 key that was never seen before and will not be seen again, as in
 * requests for certificates. OpenSSL 3 sets up the curve anew for each key that it imports, which takes
 * longer than the signature: the libcrypto that Node carries is called with one curve for all keys.
 * Without the package `koffi`, the symbols, or the same answers as `node:crypto` the latter does it.
 * `false` for whatever is wrong, a point off the curve included; never throws.
 */
export const verifyP256Once: VerifyOnce = (point, content, signature) => {
  if (point.length !== POINT_BYTES || point[0] !== UNCOMPRESSED) return false;
  verifier ??= tryLoad() ?? verifyByNode;
  return verifier(point, content, signature);
};

let verifier: VerifyOnce | undefined;

/** The same by `node:crypto` alone: what the other is held to. */
export const verifyByNode: VerifyOnce = (point, content, signature) => {
  try {
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((half) =>
      Buffer.from(half).toString('base64url'),
    );
    if (x === undefined || y === undefined) return false;
    const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
    return nodeVerify('sha256', content, key, signature);
  } catch {
    // Points off the curve, and some malformed signatures.
    return false;
  }
};

/** `undefined`: this process has none. */
function tryLoad(): VerifyOnce | undefined {
  try {
    const native = bindLibcrypto();
    return answersRight(native) ? native : undefined;
  } catch {
    return undefined;
  }
}

function bindLibcrypto(): VerifyOnce {
  // Lazily and not by `import`: everything works without the package, only slower.
  const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
  const library = koffi.load(null);
  const pointer = 'void *';
  const newGroup = library.func('EC_GROUP_new_by_curve_name', pointer, ['int']);
  const newKey = library.func('EC_KEY_new', pointer, []);
  const setGroup = library.func('EC_KEY_set_group', 'int', [pointer, pointer]);
  const newPoint = library.func('EC_POINT_new', pointer, [pointer]);
  const readPoint = library.func('EC_POINT_oct2point', 'int', [
    ...[pointer, pointer, pointer],
    'size_t',
    pointer,
  ]);
  const setPublicKey = library.func('EC_KEY_set_public_key', 'int', [pointer, pointer]);
  const verify = library.func('ECDSA_verify', 'int', [
    ...['int', pointer, 'int', pointer, 'int'],
    pointer,
  ]);
  const clearErrors = library.func('ERR_clear_error', 'void', []);
  // One of each for as long as the thread lives. What is done with them is done in one go.
  const group: unknown = newGroup(NID_P256);
  const key: unknown = newKey();
  const place: unknown = newPoint(group);
  if (![group, key, place].every(isAddress) || setGroup(key, group) !== 1) {
    throw new Error('no curve P-256');
  }
  return (point, content, signature) => {
    const digest = hash('sha256', content);
    const verified =
      readPoint(group, place, point, POINT_BYTES, null) === 1 &&
      setPublicKey(key, place) === 1 &&
      verify(0, digest, digest.length, signature, signature.length, key) === 1;
    // What is left in OpenSSL's queue would be taken for the error of a later call by Node.
    if (!verified) clearErrors();
    return verified;
  };
}

function isAddress(value: unknown): boolean {
  return typeof value === 'bigint' && value !== 0n;
}

/** RFC 6979 appendix A.2.5, and what must not be taken for it. */
function answersRight(native: VerifyOnce): boolean {
  const point = Buffer.from(
    '04' +
      '60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6' +
      '7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299',
    'hex',
  );
  const signature = Buffer.from(
    '3046' +
      '022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716' +
      '022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8',
    'hex',
  );
  const content = Buffer.from('sample');
  const off = Buffer.from(point);
  off[64] = (off[64] ?? 0) ^ 1;
  const cases: readonly Parameters<VerifyOnce>[] = [
    [point, content, signature],
    [point, Buffer.from('samplf'), signature],
    [off, content, signature],
    [point, content, signature.subarray(0, -1)],
    [point, content, Buffer.concat([signature, Buffer.of(0)])],
    [point, content, signature],
  ];
  return (
    cases.every((each) => native(...each) === verifyByNode(...each)) && native(...first(cases))
  );
}

function first<T>([one]: readonly T[]): T {
  if (one === undefined) throw new RangeError('an empty list');
  return one;
}

const NID_P256 = 415;
const POINT_BYTES = 65;
const UNCOMPRESSED = 0x04;
