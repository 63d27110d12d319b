import { createSecretKey } from 'node:crypto';
import { expect } from 'chai';
import { openAesGcm, sealAesGcm } from '../../src/crypto/aead.ts';

describe('AES-GCM (test cases 4 and 16 of the GCM specification)', () => {
  const nonce = hex('cafebabefacedbaddecaf888');
  const aad = hex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
  const plaintext = hex(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  );
  const cases = [
    {
      bits: 128,
      key: 'feffe9928665731c6d6a8f9467308308',
      sealed:
        '42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e' +
        '21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091' +
        '5bc94fbc3221a5db94fae95ae7121a47',
    },
    {
      bits: 256,
      key: 'feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308',
      sealed:
        '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
        '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
        '76fc6ece0f4e1768cddf8853bb2d551b',
    },
  ];
  for (const { bits, key, sealed } of cases) {
    const secret = createSecretKey(hex(key));

    it(`seals and opens the vector of ${String(bits)} bits`, () => {
      expect(sealAesGcm(secret, nonce, plaintext, aad)).to.deep.equal(hex(sealed));
      expect(openAesGcm(secret, nonce, hex(sealed), aad)).to.deep.equal(plaintext);
    });

    it(`refuses every changed byte and every cut with ${String(bits)} bits`, () => {
      const good = hex(sealed);
      for (let index = 0; index < good.length; index += 1) {
        const bad = Uint8Array.from(good);
        bad[index]! ^= 0x80;
        expect(openAesGcm(secret, nonce, bad, aad), String(index)).to.equal(undefined);
        expect(openAesGcm(secret, nonce, good.subarray(0, index), aad)).to.equal(undefined);
      }
      expect(openAesGcm(secret, nonce, good, hex('00'))).to.equal(undefined);
      expect(openAesGcm(secret, hex('000000000000000000000000'), good, aad)).to.equal(undefined);
    });
  }

  it('seals nothing to a tag', () => {
    const secret = createSecretKey(new Uint8Array(32));
    const sealed = sealAesGcm(secret, nonce, new Uint8Array(), new Uint8Array());
    expect(sealed).to.have.length(16);
    expect(openAesGcm(secret, nonce, sealed, new Uint8Array())).to.have.length(0);
  });

  it('has no algorithm for a key of another length', () => {
    const secret = createSecretKey(new Uint8Array(24));
    expect(() => sealAesGcm(secret, nonce, plaintext, aad)).to.throw(RangeError);
  });
});

function hex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}
