import { createPublicKey, createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import { openAesGcm, sealAesGcm } from '../../src/crypto/aead.ts';
import { generateKeyShare, KeyExchangeError } from '../../src/crypto/key-exchange.ts';
import { isAcceptableKey, verifySignature } from '../../src/crypto/signatures.ts';
import { skip } from '../support/skip.ts';

/** One file of Project Wycheproof, as far as it is used here. */
interface VectorFile {
  readonly testGroups: readonly VectorGroup[];
}

interface VectorGroup {
  readonly tests: readonly Vector[];
  readonly ivSize?: number;
  readonly keySize?: number;
  readonly publicKeyDer?: string;
}

interface Vector {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: 'valid' | 'invalid' | 'acceptable';
  readonly [field: string]: unknown;
}

const directory = process.env['SIDEKEY_VECTORS'];

/** Over all files. */
const count = { passed: 0, failed: 0, skipped: 0 };
/** Where they are absent, a whole file counts as one. */
const fileCount = 8;

describe('Wycheproof vectors, from the directory SIDEKEY_VECTORS names', () => {
  before(function () {
    if (directory !== undefined) return;
    count.skipped = fileCount;
    skip(this, 'SIDEKEY_VECTORS is not set');
  });

  after(() => {
    const { passed, failed, skipped } = count;
    process.stdout.write(
      `    wycheproof: ${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped\n`,
    );
  });

  const signatureFiles = [
    ['ecdsa_secp256r1_sha256_test', 0x0403],
    ['ecdsa_secp384r1_sha384_test', 0x0503],
    ['ed25519_test', 0x0807],
    ['rsa_pss_2048_sha256_mgf1_32_test', 0x0804],
    ['rsa_signature_2048_sha256_test', 0x0401],
  ] as const;
  for (const [file, scheme] of signatureFiles) {
    vectors(file, (vector, { publicKeyDer }) => {
      const key = createPublicKey({
        key: hex(publicKeyDer),
        format: 'der',
        type: 'spki',
      });
      const ok = verifySignature(key, scheme, hex(vector['msg']), hex(vector['sig']));
      // "acceptable" here is an AlgorithmIdentifier without its NULL: RFC 8017 §9.2 wants it.
      // Two of the RSA keys have exponent 3, which we do not take from anyone.
      expect(ok).to.equal(vector.result === 'valid' && isAcceptableKey(key));
      return 'passed';
    });
  }

  vectors('aes_gcm_test', (vector, { ivSize, keySize }) => {
    // TLS has nonces of 12 bytes, and no AES-192.
    if (ivSize !== 96 || keySize === 192) return 'skipped';
    const key = createSecretKey(hex(vector['key']));
    const [nonce, aad, plaintext] = [hex(vector['iv']), hex(vector['aad']), hex(vector['msg'])];
    const sealed = Buffer.concat([hex(vector['ct']), hex(vector['tag'])]);
    const opened = openAesGcm(key, nonce, sealed, aad);
    expect(opened).to.deep.equal(vector.result === 'valid' ? plaintext : undefined);
    if (vector.result === 'valid') {
      expect(sealAesGcm(key, nonce, plaintext, aad)).to.deep.equal(sealed);
    }
    return 'passed';
  });

  // Our shares choose their own private value, so only what is refused can be compared.
  vectors('ecdh_secp256r1_ecpoint_test', (vector) => {
    const complete = (): Uint8Array => generateKeyShare(23).complete(hex(vector['public']));
    if (vector.result === 'valid') expect(complete()).to.have.length(32);
    else expect(complete).to.throw(KeyExchangeError);
    return 'passed';
  });

  vectors('x25519_test', (vector) => {
    const complete = (): Uint8Array => generateKeyShare(29).complete(hex(vector['public']));
    if (!vector.flags.includes('ZeroSharedSecret')) expect(complete()).to.have.length(32);
    else expect(complete).to.throw(KeyExchangeError);
    return 'passed';
  });
});

function vectors(file: string, check: Check): void {
  it(`agrees with ${file}`, () => {
    const path = join(directory ?? '', 'wycheproof', `${file}.json.gz`);
    const { testGroups } = JSON.parse(gunzipSync(readFileSync(path)).toString()) as VectorFile;
    const failures: string[] = [];
    for (const group of testGroups) {
      for (const vector of group.tests) {
        try {
          count[check(vector, group)] += 1;
        } catch (error) {
          count.failed += 1;
          failures.push(`case ${String(vector.tcId)}, ${vector.comment}: ${String(error)}`);
        }
      }
    }
    expect(failures).to.deep.equal([]);
    expect(testGroups).to.not.have.length(0);
  });
}

/** Throws when our verdict is another. */
type Check = (vector: Vector, group: VectorGroup) => 'passed' | 'skipped';

function hex(text: unknown): Buffer {
  if (typeof text !== 'string') throw new TypeError('vector without a field it must have');
  return Buffer.from(text, 'hex');
}
