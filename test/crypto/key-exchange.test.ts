import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { generateKeyShare, KeyExchangeError } from '../../src/crypto/key-exchange.ts';

const groups = [
  { group: 23, name: 'P-256', publicBytes: 65, secretBytes: 32, curve: 'prime256v1' },
  { group: 24, name: 'P-384', publicBytes: 97, secretBytes: 48, curve: 'secp384r1' },
  { group: 29, name: 'X25519', publicBytes: 32, secretBytes: 32, curve: undefined },
] as const;

for (const { group, name, publicBytes, secretBytes, curve } of groups) {
  describe(`key exchange with ${name} (RFC 8422 §5.4, §5.10, §5.11)`, () => {
    it('agrees on a secret with another share', () => {
      const [a, b] = [generateKeyShare(group), generateKeyShare(group)];
      expect(a.publicKey).to.have.length(publicBytes);
      expect(a.group).to.equal(group);
      const secret = a.complete(b.publicKey);
      expect(secret).to.have.length(secretBytes);
      expect(b.complete(a.publicKey)).to.deep.equal(secret);
    });

    it('agrees on a secret with node:crypto', () => {
      const share = generateKeyShare(group);
      if (curve !== undefined) {
        const other = createECDH(curve);
        const point = other.generateKeys();
        expect(other.computeSecret(share.publicKey)).to.deep.equal(share.complete(point));
        return;
      }
      const other = generateKeyPairSync('x25519');
      const spki = other.publicKey.export({ format: 'der', type: 'spki' });
      const publicKey = createPublicKey({
        key: Buffer.concat([spki.subarray(0, -32), share.publicKey]),
        format: 'der',
        type: 'spki',
      });
      const expected = diffieHellman({ privateKey: other.privateKey, publicKey });
      expect(share.complete(spki.subarray(-32))).to.deep.equal(expected);
    });

    it('makes another pair each time', () => {
      expect(generateKeyShare(group).publicKey).not.to.deep.equal(
        generateKeyShare(group).publicKey,
      );
    });

    it('hands out the secret in memory of its own', () => {
      const secret = generateKeyShare(group).complete(generateKeyShare(group).publicKey);
      expect(secret.buffer.byteLength).to.equal(secretBytes);
    });

    it('completes once only, even after a refusal', () => {
      const share = generateKeyShare(group);
      expect(() => share.complete(new Uint8Array(publicBytes))).to.throw(KeyExchangeError);
      expect(() => share.complete(generateKeyShare(group).publicKey)).to.throw(TypeError);
    });

    for (const length of [0, 1, 31, 33, 64, 66, 96, 98, 133]) {
      it(`refuses a public value of ${String(length)} bytes`, () => {
        const value = new Uint8Array(length).fill(4);
        expect(() => generateKeyShare(group).complete(value)).to.throw(KeyExchangeError, 'bytes');
      });
    }

    if (curve === undefined) return;
    const good = generateKeyShare(group).publicKey;

    for (const first of [0, 2, 3, 5, 6, 7, 255]) {
      it(`refuses a point whose first byte is ${String(first)}`, () => {
        const point = Uint8Array.from(good);
        point[0] = first;
        expect(() => generateKeyShare(group).complete(point)).to.throw(KeyExchangeError, 'form');
      });
    }

    it('refuses a hybrid point that is on the curve', () => {
      const point = Uint8Array.from(good);
      point[0] = 6 + (good[publicBytes - 1]! & 1);
      expect(createECDH(curve).generateKeys()).to.have.length(publicBytes);
      expect(() => generateKeyShare(group).complete(point)).to.throw(KeyExchangeError, 'form');
    });

    it('refuses a compressed point', () => {
      const point = Uint8Array.from(good.subarray(0, 1 + secretBytes));
      point[0] = 2;
      expect(() => generateKeyShare(group).complete(point)).to.throw(KeyExchangeError, 'bytes');
    });

    for (const [what, change] of [
      ['off the curve', (point: Uint8Array) => (point[publicBytes - 1]! ^= 1)],
      ['at infinity', (point: Uint8Array) => point.fill(0, 1)],
      ['with coordinates over the field', (point: Uint8Array) => point.fill(0xff, 1)],
    ] as const) {
      it(`refuses a point ${what}`, () => {
        const point = Uint8Array.from(good);
        change(point);
        expect(() => generateKeyShare(group).complete(point)).to.throw(KeyExchangeError, 'curve');
      });
    }
  });
}

describe('key exchange with X25519 (RFC 7748 §5, §6.1)', () => {
  // Points of small order, from the paper behind RFC 7748 §7's advice; all lead to zero.
  for (const u of [
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  ]) {
    it(`refuses the point of small order ${u.slice(0, 8)}…`, () => {
      const value = Buffer.from(u, 'hex');
      expect(() => generateKeyShare(29).complete(value)).to.throw(KeyExchangeError, 'small order');
    });
  }

  it('ignores the highest bit of the public value, as §5 demands', () => {
    const [a, b] = [generateKeyShare(29), generateKeyShare(29)];
    const masked = Uint8Array.from(b.publicKey);
    masked[31]! |= 0x80;
    expect(a.complete(masked)).to.deep.equal(b.complete(a.publicKey));
  });
});

describe('generateKeyShare', () => {
  for (const group of [0, 22, 25, 30, 256, 0x6399]) {
    it(`has nothing for group ${String(group)}`, () => {
      expect(() => generateKeyShare(group)).to.throw(RangeError);
    });
  }
});
