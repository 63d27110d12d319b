import { expect } from 'chai';
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { verifyByNode, verifyP256Once } from '../../src/crypto/ecdsa-native.ts';

describe('verifyP256Once', () => {
  const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const content = Buffer.from('what is signed');
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  const point = publicKey.subarray(26);
  const key = createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
  const signature = sign('sha256', content, key);
  const der = (r: bigint, s: bigint): Buffer => {
    const integer = (value: bigint): Buffer => {
      const hex = value.toString(16);
      const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
      const positive = (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes;
      return Buffer.concat([Buffer.of(2, positive.length), positive]);
    };
    const body = Buffer.concat([integer(r), integer(s)]);
    return Buffer.concat([Buffer.of(0x30, body.length), body]);
  };
  const changed = (bytes: Uint8Array, at: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const zeros = Buffer.concat([Buffer.of(4), Buffer.alloc(64)]);
  const compressed = Buffer.concat([Buffer.of(2 + ((point[64] ?? 0) & 1)), point.subarray(1, 33)]);

  for (const { name, args, expected } of [
    { name: 'a signature by the key', args: [point, content, signature], expected: true },
    { name: 'other content', args: [point, changed(content, 0), signature], expected: false },
    { name: 'no content', args: [point, Buffer.alloc(0), signature], expected: false },
    { name: 'a point off the curve', args: [changed(point, 64), content, signature] },
    { name: 'the point (0, 0)', args: [zeros, content, signature] },
    { name: 'a hybrid point', args: [changed(point, 0), content, signature] },
    { name: 'a compressed point', args: [compressed, content, signature] },
    { name: 'the point at infinity', args: [Buffer.of(0), content, signature] },
    { name: 'no signature', args: [point, content, Buffer.alloc(0)] },
    { name: 'r = s = 0', args: [point, content, der(0n, 0n)] },
    { name: 'r = s = n', args: [point, content, der(order, order)] },
    {
      name: 'a signature with a byte after it',
      args: [point, content, Buffer.concat([signature, Buffer.of(0)])],
    },
  ] as readonly {
    name: string;
    args: [Uint8Array, Uint8Array, Uint8Array];
    expected?: boolean;
  }[]) {
    it(`answers ${String(expected ?? false)} to ${name}`, () => {
      expect(verifyP256Once(...args)).to.equal(expected ?? false);
      // And a refusal leaves nothing behind that spoils the next answer.
      expect(verifyP256Once(point, content, signature)).to.equal(true);
    });
  }

  it('agrees with node:crypto on signatures changed in any bit', () => {
    for (let bit = 0; bit < signature.length * 8; bit += 1) {
      const forged = Buffer.from(signature);
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifyP256Once(point, content, forged)).to.equal(
        verifyByNode(point, content, forged),
        `bit ${String(bit)}`,
      );
    }
  });
});
