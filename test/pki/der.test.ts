import { expect } from 'chai';
import { DerError, DerReader, readWhole, Tag } from '../../src/pki/der.ts';
import * as der from '../../src/pki/der-writer.ts';
import { dottedOid, oidKey } from '../../src/pki/oids.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex'));
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

describe('DerReader (X.690)', () => {
  const refused: {
    name: string;
    input: string;
    read: (reader: DerReader) => unknown;
    message: RegExp;
  }[] = [
    {
      name: 'an indefinite length (§10.1)',
      input: '30 80 00 00',
      read: (r) => r.enter(Tag.sequence),
      message: /indefinite/,
    },
    {
      name: 'a long form for a short length (§10.1)',
      input: '04 81 01 00',
      read: (r) => r.content(Tag.octetString),
      message: /not minimal/,
    },
    {
      name: 'a length with a leading zero (§10.1)',
      input: `04 82 00 80 ${'00'.repeat(128)}`,
      read: (r) => r.content(Tag.octetString),
      message: /not minimal/,
    },
    {
      name: 'a length of five octets',
      input: '04 85 01 00 00 00 00',
      read: (r) => r.content(Tag.octetString),
      message: /oversize/,
    },
    {
      name: 'a length whose octets are cut off',
      input: '04 82 01',
      read: (r) => r.content(Tag.octetString),
      message: /oversize/,
    },
    {
      name: 'an element longer than its parent',
      input: '30 03 04 02 00',
      read: (r) => r.enter(Tag.sequence).content(Tag.octetString),
      message: /longer than its parent/,
    },
    {
      name: 'a high tag number',
      input: '1f 01 00',
      read: (r) => r.any(),
      message: /above 30/,
    },
    {
      name: 'another tag',
      input: '05 00',
      read: (r) => r.integer(),
      message: /has null where integer/,
    },
    {
      name: 'nothing where something should be',
      input: '',
      read: (r) => r.any(),
      message: /too early/,
    },
    { name: 'half a header', input: '02', read: (r) => r.integer(), message: /ends where integer/ },
    {
      name: 'a BOOLEAN of 01 (§11.1)',
      input: '01 01 01',
      read: (r) => r.boolean(),
      message: /BOOLEAN/,
    },
    {
      name: 'a BOOLEAN of two bytes',
      input: '01 02 ff ff',
      read: (r) => r.boolean(),
      message: /BOOLEAN/,
    },
    {
      name: 'an empty INTEGER',
      input: '02 00',
      read: (r) => r.integer(),
      message: /empty INTEGER/,
    },
    {
      name: 'an INTEGER padded with 00',
      input: '02 02 00 7f',
      read: (r) => r.integer(),
      message: /minimal/,
    },
    {
      name: 'an INTEGER padded with ff',
      input: '02 02 ff 80',
      read: (r) => r.integer(),
      message: /minimal/,
    },
    {
      name: 'a negative number',
      input: '02 01 80',
      read: (r) => r.smallInteger(),
      message: /out of range/,
    },
    {
      name: 'a number of five bytes',
      input: '02 05 01 00 00 00 00',
      read: (r) => r.smallInteger(),
      message: /out of range/,
    },
    {
      name: 'unused bits in bytes',
      input: '03 02 01 fe',
      read: (r) => r.wholeBytes(),
      message: /unused/,
    },
    { name: 'an empty BIT STRING', input: '03 00', read: (r) => r.wholeBytes(), message: /unused/ },
    {
      name: 'named bits with unused ones (§11.2.1)',
      input: '03 02 01 03',
      read: (r) => r.namedBits(),
      message: /not zero/,
    },
    {
      name: 'named bits with eight unused',
      input: '03 02 08 80',
      read: (r) => r.namedBits(),
      message: /malformed/,
    },
    {
      name: 'no named bits but unused ones',
      input: '03 01 01',
      read: (r) => r.namedBits(),
      message: /malformed/,
    },
    {
      name: 'an empty OBJECT IDENTIFIER',
      input: '06 00',
      read: (r) => r.objectIdentifier(),
      message: /IDENTIFIER/,
    },
    {
      name: 'an unfinished OBJECT IDENTIFIER',
      input: '06 02 55 9d',
      read: (r) => r.objectIdentifier(),
      message: /IDENTIFIER/,
    },
    {
      name: 'a padded OBJECT IDENTIFIER (§8.19.2)',
      input: '06 03 55 80 1d',
      read: (r) => r.objectIdentifier(),
      message: /padded/,
    },
    {
      name: 'an endless OBJECT IDENTIFIER',
      input: `06 41 ${'01'.repeat(65)}`,
      read: (r) => r.objectIdentifier(),
      message: /IDENTIFIER/,
    },
    {
      name: 'trailing bytes',
      input: '05 00 00',
      read: (r) => {
        r.content(Tag.null);
        r.end();
      },
      message: /1 trailing/,
    },
  ];
  for (const { name, input, read, message } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => read(new DerReader(bytes(input)))).to.throw(DerError, message);
    });
  }

  const times: { name: string; tag: number; text: string; iso: string | undefined }[] = [
    {
      name: 'UTCTime of this century',
      tag: Tag.utcTime,
      text: '490228235959Z',
      iso: '2049-02-28T23:59:59.000Z',
    },
    {
      name: 'UTCTime of the last century',
      tag: Tag.utcTime,
      text: '500101000000Z',
      iso: '1950-01-01T00:00:00.000Z',
    },
    {
      name: 'GeneralizedTime',
      tag: Tag.generalizedTime,
      text: '99991231235959Z',
      iso: '9999-12-31T23:59:59.000Z',
    },
    {
      name: 'GeneralizedTime of an early year',
      tag: Tag.generalizedTime,
      text: '01000101000000Z',
      iso: '0100-01-01T00:00:00.000Z',
    },
    {
      name: 'a leap day',
      tag: Tag.utcTime,
      text: '240229000000Z',
      iso: '2024-02-29T00:00:00.000Z',
    },
    { name: 'no seconds', tag: Tag.utcTime, text: '4902282359Z', iso: undefined },
    { name: 'an offset', tag: Tag.utcTime, text: '490228235959+0000', iso: undefined },
    { name: 'no zone', tag: Tag.utcTime, text: '4902282359590', iso: undefined },
    { name: 'fractions', tag: Tag.generalizedTime, text: '20490228235959.5Z', iso: undefined },
    { name: 'local time', tag: Tag.generalizedTime, text: '204902282359590', iso: undefined },
    { name: 'a day that does not exist', tag: Tag.utcTime, text: '230229000000Z', iso: undefined },
    { name: 'month 13', tag: Tag.utcTime, text: '231301000000Z', iso: undefined },
    { name: 'month 0', tag: Tag.utcTime, text: '230001000000Z', iso: undefined },
    { name: 'hour 24', tag: Tag.utcTime, text: '230101240000Z', iso: undefined },
    { name: 'a leap second', tag: Tag.utcTime, text: '230101235960Z', iso: undefined },
    { name: 'a letter', tag: Tag.utcTime, text: '23010112000OZ', iso: undefined },
  ];
  for (const { name, tag, text, iso } of times) {
    it(`${iso === undefined ? 'refuses' : 'reads'} a time with ${name} (RFC 5280 §4.1.2.5)`, () => {
      const read = () => new DerReader(der.element(tag, Buffer.from(text))).time();
      if (iso === undefined) expect(read).to.throw(DerError);
      else expect(read().toISOString()).to.equal(iso);
    });
  }

  it('reads named bits by number', () => {
    expect(new DerReader(bytes('03 02 07 80')).namedBits()).to.equal(1);
    expect(new DerReader(bytes('03 02 01 06')).namedBits()).to.equal((1 << 5) | (1 << 6));
    expect(new DerReader(bytes('03 03 07 00 80')).namedBits()).to.equal(1 << 8);
    expect(new DerReader(bytes('03 01 00')).namedBits()).to.equal(0);
    expect(new DerReader(bytes('03 02 00 06')).namedBits()).to.equal((1 << 5) | (1 << 6));
  });

  it('answers views of its input, element and content', () => {
    const input = bytes('30 05 04 03 01 02 03');
    const { tag, content, element } = new DerReader(input).enter(Tag.sequence).any();
    expect(tag).to.equal(Tag.octetString);
    expect(hex(content)).to.equal('010203');
    expect(hex(element)).to.equal('0403010203');
    expect(content.buffer).to.equal(input.buffer);
  });
});

describe('DER writer (X.690)', () => {
  const written: { name: string; value: Uint8Array; expected: string }[] = [
    { name: 'zero', value: der.integer(0), expected: '020100' },
    { name: 'a number with its top bit set', value: der.integer(128), expected: '02020080' },
    { name: 'a large number', value: der.integer(65537), expected: '0203010001' },
    {
      name: 'a magnitude with leading zeros',
      value: der.unsignedInteger(bytes('00 00 ff')),
      expected: '020200ff',
    },
    { name: 'an empty magnitude', value: der.unsignedInteger(bytes('')), expected: '020100' },
    { name: 'an enumerated value', value: der.enumerated(6), expected: '0a0106' },
    { name: 'true', value: der.boolean(true), expected: '0101ff' },
    { name: 'false', value: der.boolean(false), expected: '010100' },
    { name: 'named bits', value: der.namedBits([5, 6]), expected: '03020106' },
    { name: 'named bits in the second byte', value: der.namedBits([8]), expected: '0303070080' },
    { name: 'no named bits', value: der.namedBits([]), expected: '030100' },
    { name: 'bytes as bits', value: der.bitString(bytes('ab')), expected: '030200ab' },
    { name: 'an identifier', value: der.objectIdentifier('2.5.29.17'), expected: '0603551d11' },
    {
      name: 'an identifier of big arcs',
      value: der.objectIdentifier('1.2.840.113549'),
      expected: '06062a864886f70d',
    },
    {
      name: 'an identifier under 2.100',
      value: der.objectIdentifier('2.100.3'),
      expected: '0603813403',
    },
    {
      name: 'a set in order',
      value: der.setOf(der.integer(2), der.integer(1)),
      expected: '3106020101020102',
    },
    {
      name: 'the last UTCTime',
      value: der.time(new Date('2049-12-31T23:59:59Z')),
      expected: `170d${Buffer.from('491231235959Z').toString('hex')}`,
    },
    {
      name: 'the first GeneralizedTime',
      value: der.time(new Date('2050-01-01T00:00:00Z')),
      expected: `180f${Buffer.from('20500101000000Z').toString('hex')}`,
    },
    { name: 'an explicit tag', value: der.explicit(3, der.integer(1)), expected: 'a303020101' },
    { name: 'an implicit tag', value: der.implicit(0, bytes('01')), expected: '800101' },
  ];
  for (const { name, value, expected } of written) {
    it(`writes ${name}`, () => {
      expect(hex(value)).to.equal(expected);
    });
  }

  it('writes lengths that the reader finds minimal', () => {
    for (const length of [0, 1, 127, 128, 255, 256, 65535, 65536, (1 << 24) - 1, 1 << 24]) {
      const content = readWhole(der.octetString(new Uint8Array(length)), (r) =>
        r.content(Tag.octetString),
      );
      expect(content.length).to.equal(length);
    }
  });

  it('refuses what it cannot write', () => {
    expect(() => der.integer(-1)).to.throw(RangeError);
    expect(() => der.integer(1.5)).to.throw(RangeError);
    expect(() => der.objectIdentifier('2')).to.throw(RangeError);
    expect(() => der.objectIdentifier('1.40.1')).to.throw(RangeError);
    expect(() => der.objectIdentifier('1.2.03')).to.throw(RangeError);
    expect(() => der.time(new Date('1949-12-31T23:59:59Z'))).to.throw(RangeError);
    expect(() => der.time(new Date(Number.NaN))).to.throw(RangeError);
  });

  it('names identifiers by their dotted form', () => {
    for (const dotted of [
      '2.5.29.17',
      '0.9.2342.19200300.100.1.25',
      '1.3.6.1.5.5.7.3.1',
      '2.999.1',
    ]) {
      expect(dottedOid(oidKey(dotted))).to.equal(dotted);
    }
  });
});
