import { expect } from 'chai';
import { prf } from '../../src/crypto/prf.ts';

describe('prf (RFC 5246 §5)', () => {
  // The values published on the IETF TLS list as test vectors for the TLS 1.2 PRF.
  const vectors = [
    {
      hash: 'sha256',
      secret: '9bbe436ba940f017b17652849a71db35',
      seed: 'a0ba9f936cda311827a6f796ffd5198c',
      output:
        'e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a' +
        '6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab' +
        '4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701' +
        '87347b66',
    },
    {
      hash: 'sha384',
      secret: 'b80b733d6ceefcdc71566ea48e5567df',
      seed: 'cd665cf6a8447dd6ff8b27555edb7465',
      output:
        '7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cd' +
        'e9ca0faa60be9fe34f82b1233c9146a0e534cb400fed2700884f9dc236f80edd' +
        '8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d918425' +
        '9b5bf8cd4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee6' +
        '91c8f3a26854308d5eaa3be85e0990703d73e56f',
    },
  ] as const;

  for (const { hash, secret, seed, output } of vectors) {
    it(`gives the published values with ${hash}, at every length`, () => {
      const expected = Buffer.from(output, 'hex');
      for (let length = 0; length <= expected.length; length += 1) {
        const actual = prf(hash, hex(secret), 'test label', hex(seed), length);
        expect(Buffer.from(actual), String(length)).to.deep.equal(expected.subarray(0, length));
      }
    });
  }

  it('returns memory of its own, outside the shared pool', () => {
    const output = prf('sha256', hex('00'), 'label', hex('01'), 12);
    expect(output.buffer.byteLength).to.equal(12);
  });

  it('depends on the border between label and seed only through their bytes', () => {
    const joined = prf('sha256', hex('07'), 'ab', Buffer.from('c'), 40);
    expect(prf('sha256', hex('07'), 'a', Buffer.from('bc'), 40)).to.deep.equal(joined);
    expect(prf('sha256', hex('07'), 'abc', Buffer.from('c'), 40)).not.to.deep.equal(joined);
  });

  it('leaves secret and seed as they were', () => {
    const secret = hex('0102');
    const seed = hex('0304');
    prf('sha384', secret, 'label', seed, 100);
    expect([secret, seed]).to.deep.equal([hex('0102'), hex('0304')]);
  });
});

function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'));
}
