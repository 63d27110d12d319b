import { expect } from 'chai';
import { concat, copyOf, equal, equalConstantTime, toHex, wipe } from '../../src/bytes/bytes.ts';

describe('bytes', () => {
  it('joins parts into memory of its own', () => {
    const joined = concat(Uint8Array.of(1), new Uint8Array(), Uint8Array.of(2, 3));
    expect([...joined]).to.deep.equal([1, 2, 3]);
    expect(joined.buffer.byteLength).to.equal(3);
  });

  it('copies, so that later changes are not seen', () => {
    const original = Uint8Array.of(1, 2);
    const copy = copyOf(original);
    original[0] = 9;
    expect([...copy]).to.deep.equal([1, 2]);
  });

  for (const compare of [equal, equalConstantTime]) {
    it(`${compare.name} tells equal from unequal, and unequal lengths without throwing`, () => {
      expect(compare(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).to.equal(true);
      expect(compare(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).to.equal(false);
      expect(compare(Uint8Array.of(1, 2), Uint8Array.of(1))).to.equal(false);
    });
  }

  it('shows a view in hexadecimal, not its whole buffer', () => {
    expect(toHex(Uint8Array.of(0xff, 0x0a, 0x01).subarray(1))).to.equal('0a01');
  });

  it('overwrites secrets', () => {
    const a = Uint8Array.of(1);
    const b = Uint8Array.of(2);
    wipe(a, b);
    expect([a[0], b[0]]).to.deep.equal([0, 0]);
  });
});
