import { expect } from 'chai';
import { createRunningHash, hash, hashLength, type HashName } from '../../src/crypto/hash.ts';
import { randomBytes } from '../../src/crypto/random.ts';

// FIPS 180-4 example values for "abc".
const abc: Readonly<Record<HashName, string>> = {
  sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  sha384:
    'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed' +
    '8086072ba1e7cc2358baeca134c825a7',
  sha512:
    'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
    '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
};

for (const name of ['sha256', 'sha384', 'sha512'] as const) {
  describe(`hash ${name} (FIPS 180-4)`, () => {
    const expected = Buffer.from(abc[name], 'hex');

    it('digests parts as one message', () => {
      expect(hash(name, Buffer.from('a'), Buffer.from('bc'))).to.deep.equal(expected);
      expect(expected).to.have.length(hashLength[name]);
    });

    it('goes on after its value was read', () => {
      const running = createRunningHash(name);
      running.update(Buffer.from('a'));
      expect(running.digest()).to.deep.equal(hash(name, Buffer.from('a')));
      expect(running.digest()).to.deep.equal(hash(name, Buffer.from('a')));
      running.update(Buffer.from('bc'));
      expect(running.digest()).to.deep.equal(expected);
      expect(running.name).to.equal(name);
    });
  });
}

describe('randomBytes', () => {
  it('gives as many bytes as asked for, outside the shared pool, and others each time', () => {
    const first = randomBytes(32);
    expect(first).to.have.length(32);
    expect(first.buffer.byteLength).to.equal(32);
    expect(randomBytes(32)).not.to.deep.equal(first);
  });
});
