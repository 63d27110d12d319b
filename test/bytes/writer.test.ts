import { expect } from 'chai';
import fc from 'fast-check';
import { Reader } from '../../src/bytes/reader.ts';
import { Writer } from '../../src/bytes/writer.ts';

describe('Writer (RFC 5246 §4, presentation language)', () => {
  it('writes numbers big-endian', () => {
    const bytes = new Writer().u8(1).u16(0x0203).u24(0x040506).u32(0x0708090a).u64(11n).finish();
    expect(Buffer.from(bytes).toString('hex')).to.equal('0102030405060708090a000000000000000b');
  });

  it('fills in the lengths of nested vectors', () => {
    const writer = new Writer();
    writer.vec24(() => {
      writer.vec16(() => {
        writer.vec8(Uint8Array.of(0xaa));
      });
    });
    expect(Buffer.from(writer.finish()).toString('hex')).to.equal('000004000201aa');
  });

  const tooBig: { name: string; write: (writer: Writer) => unknown }[] = [
    { name: 'a number over its width', write: (w) => w.u8(256) },
    { name: 'a negative number', write: (w) => w.u16(-1) },
    { name: 'a fraction', write: (w) => w.u24(1.5) },
    { name: 'a vector over its length field', write: (w) => w.vec8(new Uint8Array(256)) },
    { name: 'a vector over two bytes of length', write: (w) => w.vec16(new Uint8Array(65536)) },
  ];
  for (const { name, write } of tooBig) {
    it(`refuses ${name} instead of wrapping`, () => {
      expect(() => write(new Writer())).to.throw(RangeError);
    });
  }

  it('round-trips any vectors through Reader', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 1000 })), (vectors) => {
        const writer = new Writer();
        for (const vector of vectors) writer.vec16(vector);
        const reader = new Reader(writer.finish());
        for (const vector of vectors) {
          expect(Buffer.compare(reader.vec16().rest(), vector)).to.equal(0);
        }
        reader.end();
      }),
    );
  });

  it('returns memory of its own, outside the shared pool', () => {
    const bytes = new Writer().u8(1).finish();
    expect(bytes.buffer.byteLength).to.equal(1);
  });

  it('overwrites its buffer when asked to', () => {
    const writer = new Writer().bytes(Uint8Array.of(1, 2, 3));
    expect([...writer.finishAndWipe()]).to.deep.equal([1, 2, 3]);
    expect([...writer.finish()]).to.deep.equal([0, 0, 0]);
  });
});
