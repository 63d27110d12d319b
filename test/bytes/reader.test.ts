import { expect } from 'chai';
import fc from 'fast-check';
import { ReadError, Reader } from '../../src/bytes/reader.ts';

const hex = (text: string): Uint8Array => Buffer.from(text, 'hex');

describe('Reader (RFC 5246 §4, presentation language)', () => {
  it('reads big-endian numbers of each width in order', () => {
    const reader = new Reader(hex('01020304050607080910ffffffffffffffff'));
    expect([reader.u8(), reader.u16(), reader.u24(), reader.u32()]).to.deep.equal([
      0x01, 0x0203, 0x040506, 0x07080910,
    ]);
    expect(reader.u64()).to.equal(2n ** 64n - 1n);
    reader.end();
  });

  it('gives nested vectors as readers that cannot see past their end', () => {
    const reader = new Reader(hex('02aabb0001cc000002ddeeff'));
    expect(reader.vec8().rest()).to.deep.equal(hex('aabb'));
    const inner = reader.vec16();
    expect(inner.u8()).to.equal(0xcc);
    expect(() => inner.u8()).to.throw(ReadError, 'need 1 bytes, have 0');
    expect(reader.vec24().rest()).to.deep.equal(hex('ddee'));
    expect(reader.remaining).to.equal(1);
  });

  const short: { name: string; read: (reader: Reader) => unknown }[] = [
    { name: 'u16', read: (r) => r.u16() },
    { name: 'u24', read: (r) => r.u24() },
    { name: 'u32', read: (r) => r.u32() },
    { name: 'u64', read: (r) => r.u64() },
    { name: 'take', read: (r) => r.take(2) },
    { name: 'vec8', read: (r) => r.vec8() },
    { name: 'vec16', read: (r) => r.vec16() },
    { name: 'vec24', read: (r) => r.vec24() },
  ];
  for (const { name, read } of short) {
    it(`refuses ${name} past the end`, () => {
      expect(() => read(new Reader(hex('05')))).to.throw(ReadError);
    });
  }

  it('refuses leftovers at the end', () => {
    const reader = new Reader(hex('0102'));
    reader.u8();
    expect(() => {
      reader.end();
    }).to.throw(ReadError, '1 trailing bytes');
  });

  it('returns views, not copies', () => {
    const bytes = hex('0102');
    const view = new Reader(bytes).take(2);
    bytes[0] = 0xff;
    expect(view[0]).to.equal(0xff);
  });

  it('never throws anything but ReadError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.array(fc.nat(7)), (bytes, choices) => {
        const reader = new Reader(bytes);
        try {
          for (const choice of choices) short[choice]!.read(reader);
        } catch (error) {
          expect(error).to.be.instanceOf(ReadError);
        }
      }),
    );
  });
});
