import { expect } from 'chai';
import { unwrapKey, wrapKey } from '../../src/crypto/key-wrap.ts';
import { deriveX963Sha256 } from '../../src/crypto/x963-kdf.ts';
import { agreeOnP256 } from '../../src/crypto/static-key-agreement.ts';
import { generateKeyShare, KeyExchangeError } from '../../src/crypto/key-exchange.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';

const hex = (text: string) => Buffer.from(text, 'hex');

describe('AES-256 key wrap', () => {
  const wrappingKey = hex('000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F');
  const key = hex('00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F');
  const wrapped = hex(
    '28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21',
  );

  it('wraps and unwraps as in RFC 3394 §4.6', () => {
    expect(wrapKey(wrappingKey, key)).to.deep.equal(wrapped);
    expect(unwrapKey(wrappingKey, wrapped)).to.deep.equal(key);
  });

  it('unwraps nothing else: every bit counts', () => {
    for (let bit = 0; bit < wrapped.length * 8; bit += 1) {
      const changed = Uint8Array.from(wrapped);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(unwrapKey(wrappingKey, changed), String(bit)).to.equal(undefined);
    }
  });

  for (const length of [0, 8, 16, 23, 39, 41]) {
    it(`unwraps no ${String(length)} bytes`, () => {
      expect(unwrapKey(wrappingKey, new Uint8Array(length))).to.equal(undefined);
    });
  }
});

describe('the X9.63 KDF', () => {
  it('derives what the test vectors of NIST say', () => {
    const secret = hex('96c05619d56c328ab95fe84b18264b08725b85e33fd34f08');
    const key = deriveX963Sha256(secret, new Uint8Array(0), 16);
    expect(Buffer.from(key).toString('hex')).to.equal('443024c3dae66b95e6f5670601558f71');
  });

  it('counts blocks', () => {
    const secret = new Uint8Array(32).fill(1);
    const info = Uint8Array.of(7);
    const long = deriveX963Sha256(secret, info, 80);
    expect(long.subarray(0, 40)).to.deep.equal(deriveX963Sha256(secret, info, 40));
    expect(long.subarray(32, 64)).not.to.deep.equal(long.subarray(0, 32));
  });
});

describe('key agreement of a long-term key', () => {
  it('agrees with an ephemeral one', () => {
    const { privateKey, publicKey } = generateKeyPair('ecdsa-p256');
    const share = generateKeyShare(23);
    const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65);
    expect(agreeOnP256(privateKey, share.publicKey)).to.deep.equal(share.complete(point));
  });

  it('refuses points off the curve, in other forms, of other curves', () => {
    const { privateKey } = generateKeyPair('ecdsa-p256');
    const { publicKey } = generateKeyShare(23);
    const off = Uint8Array.from(publicKey);
    off[64]! ^= 1;
    const compressed = Uint8Array.of(2, ...publicKey.subarray(1, 33));
    const infinity = Uint8Array.of(0);
    for (const point of [off, compressed, infinity, generateKeyShare(24).publicKey]) {
      expect(() => agreeOnP256(privateKey, point)).to.throw(KeyExchangeError);
    }
    const zero = new Uint8Array(65);
    zero[0] = 4;
    expect(() => agreeOnP256(privateKey, zero)).to.throw(KeyExchangeError);
  });
});
