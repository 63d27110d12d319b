import { expect } from 'chai';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { joinOctetStrings, toDer } from '../../src/pki/ber.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { concat } from '../../src/bytes/bytes.ts';
import { DerError, DerReader, Tag } from '../../src/pki/der.ts';
import { element, octetString } from '../../src/pki/der-writer.ts';
import { KdfPurpose, pkcs12Kdf, toBmpString } from '../../src/pki/pkcs12-encryption.ts';
import { openPkcs12 } from '../../src/pki/pkcs12.ts';

const vector = (name: string) =>
  readFileSync(new URL(`../vectors/pkcs12/${name}.p12`, import.meta.url));
const utf8 = (text: string) => Buffer.from(text, 'utf8');
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex'));
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

describe('openPkcs12 (RFC 7292)', () => {
  const opened: { name: string; passphrase: string; kind: string }[] = [
    { name: 'openssl-aes', passphrase: 'pässwörd😀', kind: 'ec' },
    { name: 'openssl-aes-sha512', passphrase: 'secret1', kind: 'ed25519' },
    { name: 'openssl-3des', passphrase: 'secret1', kind: 'rsa' },
    { name: 'openssl-plain-bags', passphrase: '', kind: 'ec' },
    { name: 'java', passphrase: 'secret1', kind: 'ec' },
  ];
  for (const { name, passphrase, kind } of opened) {
    it(`opens ${name}: key and chain belong together`, () => {
      const { privateKey, certificates } = openPkcs12(vector(name), utf8(passphrase));
      expect(privateKey.asymmetricKeyType).to.equal(kind);
      const chain = certificates.map((der) => new X509Certificate(der));
      expect(chain).to.have.length(2);
      const leaf = chain.find(({ publicKey }) => publicKey.equals(createPublicKey(privateKey)));
      expect(leaf?.subjectAltName).to.equal('DNS:a.test');
      const issuer = chain.find((each) => each !== leaf);
      expect(issuer !== undefined && leaf?.verify(issuer.publicKey)).to.be.true;
    });
  }

  const refused: { name: string; file: Uint8Array; passphrase?: string; reason: string }[] = [
    {
      name: 'a wrong passphrase',
      file: vector('java'),
      passphrase: 'secret2',
      reason: 'wrong_passphrase',
    },
    { name: 'RC2', file: vector('openssl-rc2'), reason: 'unsupported_pkcs12' },
    { name: 'a file without MAC', file: vector('openssl-no-mac'), reason: 'unsupported_pkcs12' },
    { name: 'a file without key', file: vector('openssl-no-key'), reason: 'no_private_key' },
    { name: 'a file with two keys', file: vector('java-two-keys'), reason: 'several_private_keys' },
    { name: 'a weak key', file: vector('openssl-weak-rsa'), reason: 'unsupported_private_key' },
    { name: 'an empty file', file: new Uint8Array(), reason: 'malformed_pkcs12' },
    {
      name: 'a file cut short',
      file: vector('java').subarray(0, 1000),
      reason: 'malformed_pkcs12',
    },
    { name: 'a file of 2 MB', file: new Uint8Array(2 * 1024 * 1024), reason: 'malformed_pkcs12' },
    {
      name: 'a passphrase that is not UTF-8',
      file: vector('java'),
      passphrase: '\xff',
      reason: 'unsupported_pkcs12',
    },
  ];
  for (const { name, file, passphrase = 'secret1', reason } of refused) {
    it(`refuses ${name}`, () => {
      const encoding = passphrase === '\xff' ? 'latin1' : 'utf8';
      const attempt = () => openPkcs12(file, Buffer.from(passphrase, encoding));
      expect(attempt).to.throw(CertificateError).with.property('reason', reason);
    });
  }

  it('opens a file in BER, as NSS writes it', () => {
    const { privateKey, certificates } = openPkcs12(toBer(vector('java')), utf8('secret1'));
    expect(privateKey.equals(openPkcs12(vector('java'), utf8('secret1')).privateKey)).to.be.true;
    expect(certificates).to.have.length(2);
  });

  it('refuses a file of which any part of the content was changed', () => {
    const file = vector('openssl-plain-bags');
    // The rest is the MAC itself, whose number of iterations had better not grow.
    for (let index = 0; index < file.length - 100; index += 31) {
      const changed = Buffer.from(file);
      changed[index] = (changed[index] ?? 0) ^ 0x41;
      expect(() => openPkcs12(changed, utf8('')), String(index)).to.throw(CertificateError);
    }
  });
});

describe('pkcs12Kdf (RFC 7292 appendix B)', () => {
  // Values of OpenSSL's and Bouncy Castle's own tests of this function.
  const salt = bytes('0a58cf64530d823f');
  it('derives a key and a vector', () => {
    const password = bytes('0073006d006500670000');
    expect(hex(pkcs12Kdf('sha1', KdfPurpose.key, password, salt, 1, 24))).to.equal(
      '8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3',
    );
    expect(
      hex(pkcs12Kdf('sha1', KdfPurpose.iv, password, bytes('0a58cf64530d823f'), 1, 8)),
    ).to.equal('79993dfe048d3b76');
  });

  it('writes passphrases as terminated UTF-16, also beyond the first plane', () => {
    expect(hex(toBmpString(utf8('smeg')))).to.equal('0073006d006500670000');
    expect(hex(toBmpString(utf8('ä€😀')))).to.equal('00e420acd83dde000000');
    expect(hex(toBmpString(utf8('')))).to.equal('0000');
    for (const wrong of ['80', 'c080', 'e28', 'f0908080'.slice(0, 6), 'f4908080', 'c3']) {
      expect(() => toBmpString(bytes(wrong)), wrong).to.throw(CertificateError);
    }
  });
});

describe('toDer (X.690 §8)', () => {
  const rows: { name: string; ber: string; expected: string }[] = [
    { name: 'DER as it is', ber: '30 03 02 01 05', expected: '3003020105' },
    { name: 'an indefinite length', ber: '30 80 02 01 05 00 00', expected: '3003020105' },
    {
      name: 'nested indefinite lengths',
      ber: '30 80 30 80 00 00 00 00',
      expected: '30023000',
    },
    { name: 'a padded length', ber: '30 82 00 04 02 81 01 05', expected: '3003020105' },
    {
      name: 'an octet string in pieces',
      ber: '24 80 04 01 aa 04 02 bb cc 00 00',
      expected: '0403aabbcc',
    },
    {
      name: 'an octet string in pieces of pieces',
      ber: '24 07 24 03 04 01 aa 04 00',
      expected: '0401aa',
    },
  ];
  for (const { name, ber, expected } of rows) {
    it(`reads ${name}`, () => {
      expect(hex(toDer(bytes(ber)))).to.equal(expected);
    });
  }

  const refused: { name: string; ber: string }[] = [
    { name: 'nothing', ber: '' },
    { name: 'trailing bytes', ber: '05 00 00' },
    { name: 'a primitive of indefinite length', ber: '04 80 00 00' },
    { name: 'no end of contents', ber: '30 80 05 00' },
    { name: 'a child longer than its parent', ber: '30 02 04 05 00 00 00 00 00' },
    { name: 'an element longer than the input', ber: '30 05 04 05' },
    { name: 'a length of five octets', ber: '30 85 00 00 00 00 00' },
    { name: 'a high tag number', ber: '3f 01 00' },
    { name: 'a piece that is no octet string', ber: '24 03 02 01 05' },
    { name: 'nesting without end', ber: '30 80'.repeat(100) },
  ];
  for (const { name, ber } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => toDer(bytes(ber))).to.throw(DerError);
    });
  }

  it('joins pieces of any length', () => {
    const long = Buffer.concat([bytes('04 81 80'), new Uint8Array(128)]);
    expect(joinOctetStrings([long, bytes('04 01 01')])).to.have.length(129);
  });
});

/** Gives every constructed element an indefinite length and cuts long octet strings in pieces. */
function toBer(der: Uint8Array): Uint8Array {
  const reader = new DerReader(der);
  const parts: Uint8Array[] = [];
  while (!reader.done) {
    const { tag, content } = reader.any();
    if ((tag & 0x20) !== 0) {
      parts.push(Uint8Array.of(tag, 0x80), toBer(content), Uint8Array.of(0, 0));
    } else if ((tag === Tag.octetString || tag === Tag.context(0)) && content.length > 200) {
      const pieces = [content.subarray(0, 150), content.subarray(150)];
      parts.push(
        Uint8Array.of(tag | 0x20, 0x80),
        ...pieces.map((each) => octetString(each)),
        Uint8Array.of(0, 0),
      );
    } else {
      parts.push(element(tag, content));
    }
  }
  return concat(...parts);
}
