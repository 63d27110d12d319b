import { expect } from 'chai';
import fc from 'fast-check';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { encodePem, parseCertificatePem, parsePem } from '../../src/pki/pem.ts';

const text = (value: string) => Buffer.from(value, 'latin1');
const block = (body: string, label = 'X', end = label) =>
  text(`-----BEGIN ${label}-----\n${body}\n-----END ${end}-----\n`);

describe('parsePem (RFC 7468)', () => {
  it('reads blocks in order and skips what is around them', () => {
    const file = Buffer.concat([
      text('Subject: CN=a -----BEGIN not a start\n'),
      block('AQID', 'CERTIFICATE'),
      text('\r\n  explanatory text\r\n'),
      block('BAUG', 'EC PRIVATE KEY'),
    ]);
    const blocks = parsePem(file).map(({ label, der }) => [
      label,
      Buffer.from(der).toString('hex'),
    ]);
    expect(blocks).to.deep.equal([
      ['CERTIFICATE', '010203'],
      ['EC PRIVATE KEY', '040506'],
    ]);
  });

  it('reads any line ends and widths, and no last line end', () => {
    const expected = '0102030405060708';
    for (const body of [
      'AQID\r\nBAUG\r\nBwg=',
      'AQIDBAUGBwg=',
      ' AQID\tBA UG\rBwg=',
      'AQIDBAUGBwg=\n\n',
    ]) {
      const [found] = parsePem(block(body).subarray(0, -1));
      expect(Buffer.from(found?.der ?? []).toString('hex')).to.equal(expected, body);
    }
  });

  it('finds nothing in other text', () => {
    expect(parsePem(text(''))).to.deep.equal([]);
    expect(parsePem(text('hello -----BEGIN X-----\n'))).to.deep.equal([]);
  });

  const refused: { name: string; bytes: Uint8Array; message: RegExp }[] = [
    { name: 'no end', bytes: text('-----BEGIN X-----\nAQID\n'), message: /no end of X/ },
    { name: 'the end of another block', bytes: block('AQID', 'X', 'Y'), message: /by its name/ },
    { name: 'an end whose label goes on', bytes: block('AQID', 'X', 'XY'), message: /by its name/ },
    { name: 'no dashes after the label', bytes: text('-----BEGIN X\nAQID\n'), message: /label/ },
    { name: 'a label in small letters', bytes: block('AQID', 'x'), message: /label/ },
    { name: 'an empty label', bytes: block('AQID', ''), message: /label/ },
    { name: 'a label of 65 letters', bytes: block('AQID', 'X'.repeat(65)), message: /label/ },
    { name: 'an empty block', bytes: block(''), message: /incomplete/ },
    { name: 'other characters', bytes: block('AQ*D'), message: /other bytes than base64/ },
    {
      name: 'header lines',
      bytes: block('Proc-Type: 4,ENCRYPTED\n\nAQID'),
      message: /header lines/,
    },
    { name: 'a missing character', bytes: block('AQI'), message: /incomplete/ },
    { name: 'text after the padding', bytes: block('AQ==AQID'), message: /other bytes/ },
    { name: 'too much padding', bytes: block('A==='), message: /incomplete/ },
    { name: 'bits after the last byte', bytes: block('AQJ='), message: /incomplete/ },
    { name: 'a file of 5 MB', bytes: new Uint8Array(5 * 1024 * 1024), message: /longer than/ },
  ];
  for (const { name, bytes, message } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => parsePem(bytes)).to.throw(CertificateError, message);
    });
  }

  it('refuses more blocks than any bundle has', () => {
    const file = Buffer.concat(Array.from({ length: 2001 }, () => block('AQID')));
    expect(() => parsePem(file)).to.throw(CertificateError, /more than 2000/);
  });

  it('refuses other blocks among certificates, and does not repeat them', () => {
    const file = Buffer.concat([block('AQID', 'CERTIFICATE'), block('BAUG', 'PRIVATE KEY')]);
    expect(() => parseCertificatePem(file)).to.throw(CertificateError, 'a block PRIVATE KEY where');
  });
});

describe('encodePem (RFC 7468)', () => {
  it('writes lines of 64 characters', () => {
    const pem = Buffer.from(encodePem('X', new Uint8Array(49))).toString();
    const lines = ['-----BEGIN X-----', 'A'.repeat(64), 'AA==', '-----END X-----', ''];
    expect(pem).to.equal(lines.join('\n'));
    const full = Buffer.from(encodePem('X', new Uint8Array(48)))
      .toString()
      .split('\n');
    expect(full.map((line) => line.length)).to.deep.equal([17, 64, 15, 0]);
  });

  it('writes what parsePem and Buffer read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (der) => {
        const pem = encodePem('SOME DATA', der);
        expect(parsePem(pem)).to.deep.equal([{ label: 'SOME DATA', der: Buffer.from(der) }]);
        const body = Buffer.from(pem).toString().split('\n').slice(1, -2).join('');
        expect(body).to.equal(Buffer.from(der).toString('base64'));
      }),
    );
  });
});

describe('parsePem of any bytes', () => {
  it('answers or refuses', () => {
    const pieces = fc.constantFrom(
      '-----BEGIN ',
      '-----END ',
      '-----',
      'X',
      '\n',
      'AQID',
      '=',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        try {
          parsePem(text(parts.join('')));
        } catch (error) {
          expect(error).to.be.instanceOf(CertificateError);
        }
      }),
    );
  });
});
