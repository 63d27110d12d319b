import { createCipheriv } from 'node:crypto';
import { expect } from 'chai';
import { explicitNonceBytesOf, type AeadAlgorithm } from '../../src/crypto/aead.ts';
import { loadNativeProvider } from '../../src/crypto/aead-native.ts';
import {
  recordCipherProvider,
  recordExpansion,
  recordLimit,
  type RecordCipherParameters,
  type RecordCipherProvider,
  type RecordSealCipher,
} from '../../src/crypto/record-cipher.ts';
import { skip } from '../support/skip.ts';

const native = loadNativeProvider();
const node = recordCipherProvider('node');
const providers: readonly RecordCipherProvider[] = native.ok ? [native.provider, node] : [node];
const aeads: readonly AeadAlgorithm[] = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];

describe('recordCipherProvider', () => {
  it('gives what is asked for', function () {
    expect(recordCipherProvider('node').name).to.equal('node');
    if (!native.ok) skip(this, String(native.reason));
    expect(recordCipherProvider('native').name).to.equal('native');
  });

  it('prefers native where it works', () => {
    expect(recordCipherProvider().name).to.equal(native.ok ? 'native' : 'node');
  });

  it('works natively in the Node that runs the tests, or says why not', function () {
    if (native.ok) return;
    expect(native.reason).to.be.instanceOf(Error);
    expect(() => recordCipherProvider('native')).to.throw('do not work here');
    skip(this, String(native.reason));
  });
});

describe('recordLimit (RFC 8446 §5.5)', () => {
  it('ends AES-GCM after 2^24 records and ChaCha20-Poly1305 only with its numbers', () => {
    expect(aeads.map(recordLimit)).to.deep.equal([2 ** 24, 2 ** 24, Infinity]);
  });
});

for (const provider of providers) {
  for (const aead of aeads) {
    const parameters = parametersOf(aead, 0n);
    const seal = (plaintext: Uint8Array, from = 0n): Uint8Array =>
      sealed(provider.createSealCipher({ ...parameters, sequenceNumber: from }), plaintext);
    const open = (type: number, body: Uint8Array, from = 0n): Uint8Array | undefined =>
      provider.createOpenCipher({ ...parameters, sequenceNumber: from }).open(type, body);

    describe(`record cipher ${aead}, ${provider.name} (RFC 5246 §6.2.3.3)`, () => {
      for (const length of [0, 1, 15, 16, 17, 100, 1024, 16_383, 16_384]) {
        it(`opens what it sealed: ${String(length)} bytes`, () => {
          const plaintext = Buffer.alloc(length, 0x5a);
          const body = seal(plaintext);
          expect(body).to.have.length(length + recordExpansion(aead));
          expect(open(23, body)).to.deep.equal(plaintext);
        });
      }

      it('counts records, in both directions alike', () => {
        const sealer = provider.createSealCipher(parameters);
        const opener = provider.createOpenCipher(parameters);
        for (let index = 0; index < 600; index += 1) {
          expect(sealer.sequenceNumber).to.equal(BigInt(index));
          const body = sealed(sealer, Buffer.from(`record ${String(index)}`));
          expect(opener.sequenceNumber).to.equal(BigInt(index));
          if (index % 3 === 0) sealer.prepare();
          if (index % 5 === 0) opener.prepare();
          expect(text(opener.open(23, body))).to.equal(`record ${String(index)}`);
        }
      });

      for (const start of [0xffn, 0xffffn, 0xffff_ffffn, 0x1f_ffff_ffff_ffffn, (1n << 63n) - 1n]) {
        it(`carries from 0x${start.toString(16)}`, () => {
          const sealer = provider.createSealCipher({ ...parameters, sequenceNumber: start });
          const opener = provider.createOpenCipher({ ...parameters, sequenceNumber: start });
          for (const expected of [start + 1n, start + 2n]) {
            const body = sealed(sealer, Buffer.from('data'));
            if (explicitNonceBytesOf(aead) === 8) {
              expect(Buffer.from(body).readBigUInt64BE()).to.equal(expected - 1n);
            }
            expect(text(opener.open(23, body))).to.equal('data');
            expect([sealer.sequenceNumber, opener.sequenceNumber]).to.deep.equal([
              expected,
              expected,
            ]);
          }
        });
      }

      it('uses the last number and then stops, rather than wrap (RFC 5246 §6.1)', () => {
        const last = (1n << 64n) - 1n;
        const sealer = provider.createSealCipher({ ...parameters, sequenceNumber: last });
        const opener = provider.createOpenCipher({ ...parameters, sequenceNumber: last });
        const body = sealed(sealer, Buffer.from('last'));
        const copy = Uint8Array.from(body);
        expect(text(opener.open(23, body))).to.equal('last');
        expect(sealer.sequenceNumber).to.equal(1n << 64n);
        expect(() => sealed(sealer, Buffer.from('over'))).to.throw('used up');
        expect(() => opener.open(23, copy)).to.throw('used up');
      });

      for (const bad of [-1n, 1n << 64n]) {
        it(`takes no number ${String(bad)}`, () => {
          expect(() => provider.createSealCipher({ ...parameters, sequenceNumber: bad })).to.throw(
            RangeError,
          );
        });
      }

      it('seals and opens the same as the other provider', () => {
        const sealer = provider.createSealCipher(parameters);
        const other = node.createSealCipher(parameters);
        const opener = provider.createOpenCipher(parameters);
        for (const length of [1, 0, 33, 1500, 16_384, 7]) {
          const plaintext = Buffer.alloc(length, length & 0xff);
          const body = sealed(other, plaintext);
          expect(sealed(sealer, plaintext)).to.deep.equal(body);
          expect(Buffer.from(opener.open(23, body) ?? []).equals(plaintext)).to.equal(true);
        }
      });

      it('refuses every changed bit, and leaves none of it in memory', () => {
        const good = seal(Buffer.from('attack at dawn'));
        for (let index = 0; index < good.length; index += 1) {
          for (let bit = 0; bit < 8; bit += 1) {
            const body = Uint8Array.from(good);
            body[index]! ^= 1 << bit;
            expect(open(23, body), `bit ${String(bit)} of ${String(index)}`).to.equal(undefined);
            expect(body.every((byte) => byte === 0)).to.equal(true);
          }
        }
      });

      it('refuses every cut and every extension', () => {
        const good = seal(Buffer.from('attack at dawn'));
        for (let length = 0; length < good.length; length += 1) {
          expect(open(23, Uint8Array.from(good.subarray(0, length)))).to.equal(undefined);
        }
        expect(open(23, Buffer.concat([good, Buffer.alloc(1)]))).to.equal(undefined);
      });

      it('binds type and number', () => {
        const good = seal(Buffer.from('data'));
        expect(open(22, Uint8Array.from(good))).to.equal(undefined);
        expect(open(23, Uint8Array.from(good), 1n)).to.equal(undefined);
        expect(open(23, Uint8Array.from(good))).to.not.equal(undefined);
      });

      it('uses key material of its own', () => {
        const key = Uint8Array.from(parameters.key);
        const fixedNonce = Uint8Array.from(parameters.fixedNonce);
        const sealer = provider.createSealCipher({ ...parameters, key, fixedNonce });
        key.fill(0);
        fixedNonce.fill(0);
        expect(text(open(23, sealed(sealer, Buffer.from('data'))))).to.equal('data');
      });

      it('cannot be used once freed, and freeing twice is nothing', () => {
        const sealer = provider.createSealCipher(parameters);
        const opener = provider.createOpenCipher(parameters);
        const body = sealed(sealer, Buffer.from('data'));
        for (const cipher of [sealer, opener, sealer, opener]) cipher.free();
        expect(() => sealed(sealer, Buffer.from('data'))).to.throw('freed');
        expect(() => opener.open(23, body)).to.throw('freed');
      });
    });
  }
}

for (const provider of providers) {
  describe(`record cipher of GCM, ${provider.name} (RFC 5288 §3)`, () => {
    it('opens records whose explicit nonce is not the sequence number', () => {
      // A sender may choose the explicit nonce freely; the number stays in the additional data.
      const parameters = parametersOf('aes-128-gcm', 0n);
      const explicit = Buffer.from('0102030405060708', 'hex');
      const body = foreignRecord(parameters, explicit, Buffer.from('data'));
      for (const prepared of [false, true]) {
        const opener = provider.createOpenCipher(parameters);
        if (prepared) opener.prepare();
        expect(text(opener.open(23, Uint8Array.from(body)))).to.equal('data');
        expect(opener.sequenceNumber).to.equal(1n);
      }
    });
  });

  describe(`record cipher of ChaCha20-Poly1305, ${provider.name} (RFC 7905 §2)`, () => {
    it('seals the vector of RFC 8439 §2.8.2 under the nonce that number 0 leaves as it is', () => {
      // Same key and nonce; only the ciphertext can be compared, since the additional data differ.
      const parameters: RecordCipherParameters = {
        aead: 'chacha20-poly1305',
        key: Uint8Array.from({ length: 32 }, (_, index) => 0x80 + index),
        fixedNonce: Buffer.from('070000004041424344454647', 'hex'),
        sequenceNumber: 0n,
      };
      const plaintext = Buffer.from(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      );
      const body = sealed(provider.createSealCipher(parameters), plaintext);
      expect(Buffer.from(body.subarray(0, -16)).toString('hex')).to.match(
        /^d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6/,
      );
    });
  });
}

describe('native record ciphers', () => {
  before(function () {
    if (!native.ok) skip(this, String(native.reason));
  });

  for (const [what, change] of [
    ['key', { key: new Uint8Array(15) }],
    ['longer key', { key: new Uint8Array(32) }],
    ['nonce', { fixedNonce: new Uint8Array(3) }],
  ] as const) {
    it(`never hand a ${what} of wrong length to libcrypto`, () => {
      const parameters = { ...parametersOf('aes-128-gcm', 0n), ...change };
      expect(() => recordCipherProvider('native').createSealCipher(parameters)).to.throw(
        RangeError,
      );
    });
  }

  it('leave no error of libcrypto behind for later calls of Node', () => {
    const opener = recordCipherProvider('native').createOpenCipher(parametersOf('aes-256-gcm', 0n));
    expect(opener.open(23, new Uint8Array(64))).to.equal(undefined);
    expect(
      sealed(node.createSealCipher(parametersOf('aes-256-gcm', 0n)), new Uint8Array(3)),
    ).to.have.length(27);
  });

  it('refuse a body of another length than the plaintext needs', () => {
    const sealer = recordCipherProvider('native').createSealCipher(parametersOf('aes-128-gcm', 0n));
    expect(() => {
      sealer.seal(23, new Uint8Array(10), new Uint8Array(33));
    }).to.throw(RangeError);
  });
});

function parametersOf(aead: AeadAlgorithm, sequenceNumber: bigint): RecordCipherParameters {
  const keyBytes = aead === 'aes-128-gcm' ? 16 : 32;
  return {
    aead,
    key: Uint8Array.from({ length: keyBytes }, (_, index) => 3 * index + 1),
    fixedNonce: new Uint8Array(12 - explicitNonceBytesOf(aead)).fill(0xc3),
    sequenceNumber,
  };
}

function sealed(cipher: RecordSealCipher, plaintext: Uint8Array): Uint8Array {
  const body = new Uint8Array(cipher.explicitNonceBytes + plaintext.length + 16);
  cipher.seal(23, plaintext, body);
  return body;
}

function foreignRecord(
  { key, fixedNonce }: RecordCipherParameters,
  explicit: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv('aes-128-gcm', key, Buffer.concat([fixedNonce, explicit]), {
    authTagLength: 16,
  });
  const aad = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, 0, plaintext.length]);
  cipher.setAAD(aad);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return Buffer.concat([explicit, ciphertext, cipher.getAuthTag()]);
}

function text(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString();
}
