import { expect } from 'chai';
import { packValues, unpackValues } from '../../src/database/sqlite/packed-values.ts';

describe('packValues and unpackValues', () => {
  it('carry what parameters can be, as a database takes it', () => {
    const bytes = Buffer.from('some bytes').subarray(2, 5);
    const values = [
      null,
      0,
      -1,
      1.5,
      Number.MAX_SAFE_INTEGER,
      '',
      'naïve 🙂',
      bytes,
      true,
      undefined,
    ];
    const carried = unpackValues(packValues(values));
    expect(carried.slice(0, 7)).to.deep.equal(values.slice(0, 7));
    expect(Buffer.from(carried[7] as Uint8Array)).to.deep.equal(Buffer.from('me '));
    expect(carried.slice(8)).to.deep.equal([1, null]);
  });

  it('carry nothing, and empty bytes', () => {
    expect(unpackValues(packValues([]))).to.deep.equal([]);
    expect(unpackValues(packValues([new Uint8Array(0)]))[0]).to.have.length(0);
  });

  it('own their memory, so that it can be handed over', () => {
    const packed = packValues([1, 'two', Buffer.from('three')]);
    expect(packed.buffer.byteLength).to.equal(packed.byteLength);
  });

  for (const value of [{}, [], new Date(), 5n, Symbol('x')]) {
    it(`refuse ${Object.prototype.toString.call(value)}`, () => {
      expect(() => packValues([value])).to.throw(TypeError);
    });
  }
});
