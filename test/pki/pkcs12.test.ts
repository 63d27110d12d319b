import { expect } from 'chai';
import {
  createCipheriv,
  createPublicKey,
  generateKeyPairSync,
  pbkdf2Sync,
  X509Certificate,
} from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { concat } from '../../src/bytes/bytes.ts';
import { DerError, DerReader, Tag } from '../../src/pki/der.ts';
import {
  element,
  explicit,
  integer,
  objectIdentifier as oid,
  octetString,
  sequence,
} from '../../src/pki/der-writer.ts';
import { BerValue, KdfPurpose, pbkdf2, pkcs12Kdf, pkcs12Mac } from '../../src/pki/forge.ts';
import { openPkcs12 } from '../../src/pki/pkcs12.ts';

const vector = (name: string) =>
  readFileSync(new URL(`../vectors/pkcs12/${name}.p12`, import.meta.url));
const utf8 = (text: string) => Buffer.from(text, 'utf8');
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replace(/ /g, ''), 'hex'));
const DATA = '1.2.840.113549.1.7.1';
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

describe('openPkcs12 (RFC 7292)', () => {
  const opened: { name: string; passphrase: string; kind: string }[] = [
    { name: 'openssl-aes', passphrase: 'pässwörd😀', kind: 'ec' },
    { name: 'openssl-aes-sha512', passphrase: 'secret1', kind: 'ed25519' },
    { name: 'openssl-3des', passphrase: 'secret1', kind: 'rsa' },
    { name: 'openssl-plain-certificates', passphrase: '', kind: 'ec' },
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
    {
      name: 'a key without encryption of its own',
      file: vector('openssl-plain-bags'),
      passphrase: '',
      reason: 'unsupported_pkcs12',
    },
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
    const file = vector('openssl-plain-certificates');
    // The rest is the MAC itself, whose number of iterations had better not grow.
    for (let index = 0; index < file.length - 100; index += 31) {
      const changed = Buffer.from(file);
      changed[index] = (changed[index] ?? 0) ^ 0x41;
      expect(() => openPkcs12(changed, utf8('')), String(index)).to.throw(CertificateError);
    }
  });
});

describe('openPkcs12, of what no program at hand writes', () => {
  it('finds no key in an empty SafeContents', () => {
    expect(() => openPkcs12(build({}), utf8('secret1')))
      .to.throw(CertificateError)
      .with.property('reason', 'no_private_key');
  });

  const salt = bytes('0102030405060708');
  const iv = new Uint8Array(16);
  const pkcs8 = generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' });
  const shrouded = (iterations: number) =>
    bag(
      '1.2.840.113549.1.12.10.1.2',
      sequence(encryption(salt, iv, iterations), octetString(new Uint8Array(64))),
    );
  const rows: { name: string; parts: Parts; says: string }[] = [
    {
      name: 'a plain key among encrypted certificates',
      parts: { safeContents: bag('1.2.840.113549.1.12.10.1.1', pkcs8) },
      says: 'without encryption of its own',
    },
    {
      name: 'a bag of another type',
      parts: { safeContents: bag('1.2.840.113549.1.12.10.1.5', octetString(salt)) },
      says: 'a bag of type 1.2.840.113549.1.12.10.1.5',
    },
    {
      name: 'an SDSI certificate',
      parts: {
        safeContents: bag('1.2.840.113549.1.12.10.1.3', sequence(oid('1.2.840.113549.1.9.22.2'))),
      },
      says: 'no X.509 certificate',
    },
    {
      name: 'a key that does not decrypt',
      parts: { safeContents: shrouded(1) },
      says: 'OpenSSL cannot decrypt',
    },
    {
      name: 'too many iterations for the key',
      parts: { safeContents: shrouded(2_000_001) },
      says: '2000001 iterations',
    },
    {
      name: 'too many iterations for certificates',
      parts: { iterations: 2_000_001 },
      says: '2000001 iterations',
    },
    {
      name: 'too many iterations for the MAC',
      parts: { macIterations: 2_000_001 },
      says: '2000001 iterations',
    },
    { name: 'no iterations for the MAC', parts: { macIterations: 0 }, says: '0 iterations' },
    { name: 'a MAC by MD5', parts: { macHash: '1.2.840.113549.2.5' }, says: 'a MAC by' },
    { name: 'another version', parts: { version: 4 }, says: 'not of version 3' },
    {
      name: 'enveloped content',
      parts: { contentType: '1.2.840.113549.1.7.3' },
      says: 'content of type 1.2.840.113549.1.7.3',
    },
    {
      name: 'another scheme',
      parts: { encryption: encryption(salt, iv, 1, { scheme: '1.2.840.113549.1.12.1.1' }) },
      says: 'write it anew with AES',
    },
    {
      name: 'scrypt',
      parts: { encryption: encryption(salt, iv, 1, { kdf: '1.3.6.1.4.1.11591.4.11' }) },
      says: 'derives keys by 1.3.6.1.4.1.11591.4.11',
    },
    {
      name: 'an unknown hash for keys',
      parts: { encryption: encryption(salt, iv, 1, { prf: '1.2.840.113549.2.8' }) },
      says: 'unknown function',
    },
    {
      name: 'another cipher',
      parts: { encryption: encryption(salt, iv, 1, { cipher: '1.2.840.113549.3.2' }) },
      says: 'the encryption 1.2.840.113549.3.2',
    },
    {
      name: 'a short vector',
      parts: { encryption: encryption(salt, iv.subarray(1), 1) },
      says: 'initialisation vector',
    },
  ];
  for (const { name, parts, says } of rows) {
    it(`refuses ${name}`, () => {
      const file = build(parts);
      expect(() => openPkcs12(file, utf8('secret1')))
        .to.throw(CertificateError, says)
        .with.property('reason', 'unsupported_pkcs12');
    });
  }

  it('takes certificates that another passphrase encrypts for a wrong passphrase', () => {
    const file = build({ encryption: encryption(bytes('00'), iv, 1) });
    expect(() => openPkcs12(file, utf8('secret1')))
      .to.throw(CertificateError)
      .with.property('reason', 'wrong_passphrase');
  });
});

describe('keys from passphrases', () => {
  const hash = 'sha1';
  const derivation = { hash, salt: bytes('0a58cf64530d823f'), iterations: 1 } as const;

  // Values of OpenSSL's and Bouncy Castle's own tests of this function.
  it('pkcs12Kdf derives a key and a vector (RFC 7292 appendix B)', () => {
    expect(hex(pkcs12Kdf('smeg', KdfPurpose.key, 24, derivation))).to.equal(
      '8aaae6297b6cb04642ab5b077851284eb7128f1a2a7fbca3',
    );
    expect(hex(pkcs12Kdf('smeg', KdfPurpose.iv, 8, derivation))).to.equal('79993dfe048d3b76');
  });

  it('pbkdf2 derives a key (RFC 6070)', () => {
    const row = { hash, salt: utf8('salt'), iterations: 2 } as const;
    const expected = 'ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957';
    expect(hex(pbkdf2(utf8('password'), 20, row))).to.equal(expected);
  });

  for (const name of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
    it(`pbkdf2 with ${name} takes a passphrase beyond ASCII as bytes, like node:crypto`, () => {
      const passphrase = utf8('pä€😀');
      const salt = bytes('00ff80');
      const expected = pbkdf2Sync(passphrase, salt, 3, 40, name);
      expect(hex(pbkdf2(passphrase, 40, { hash: name, salt, iterations: 3 }))).to.equal(
        hex(expected),
      );
    });
  }
});

describe('BerValue (X.690 §8)', () => {
  const rows: { name: string; ber: string; expected: string }[] = [
    { name: 'DER as it is', ber: '30 03 02 01 05', expected: '3003020105' },
    { name: 'an indefinite length', ber: '30 80 02 01 05 00 00', expected: '3003020105' },
    { name: 'nested indefinite lengths', ber: '30 80 30 80 00 00 00 00', expected: '30023000' },
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
    it(`writes ${name} in DER`, () => {
      expect(hex(BerValue.parse(bytes(ber)).toDer())).to.equal(expected);
    });
  }

  const unreadable: { name: string; ber: string }[] = [
    { name: 'nothing', ber: '' },
    { name: 'trailing bytes', ber: '05 00 00' },
    { name: 'a primitive of indefinite length', ber: '04 80 00 00' },
    { name: 'no end of contents', ber: '30 80 05 00' },
    { name: 'a child longer than its parent', ber: '30 02 04 05 00 00 00 00 00' },
    { name: 'an element longer than the input', ber: '30 05 04 05' },
    { name: 'nesting without end', ber: '30 80'.repeat(10_000) },
  ];
  for (const { name, ber } of unreadable) {
    it(`refuses ${name}`, () => {
      expect(() => BerValue.parse(bytes(ber))).to.throw(DerError);
    });
  }

  const mistaken: { name: string; ber: string; read: (value: BerValue) => unknown }[] = [
    { name: 'a number as sequence', ber: '02 01 05', read: (value) => value.sequence() },
    { name: 'a primitive sequence', ber: '10 01 05', read: (value) => value.sequence() },
    { name: 'an empty sequence', ber: '30 00', read: (value) => value.sequence().next() },
    { name: 'a sequence as tagged', ber: '30 02 05 00', read: (value) => value.explicit() },
    { name: 'an empty tag', ber: 'a0 00', read: (value) => value.explicit() },
    { name: 'null as identifier', ber: '05 00', read: (value) => value.objectIdentifier() },
    { name: 'an identifier in parts', ber: '26 00', read: (value) => value.objectIdentifier() },
    { name: 'an empty number', ber: '02 00', read: (value) => value.integer() },
    { name: 'a negative number', ber: '02 01 ff', read: (value) => value.integer() },
    { name: 'a large number', ber: '02 05 01 00 00 00 00', read: (value) => value.integer() },
    {
      name: 'more than was asked for',
      ber: '30 02 05 00',
      read: (value) => {
        value.sequence().end();
      },
    },
    { name: 'null as octets', ber: '05 00', read: (value) => value.octetString() },
    { name: 'null as tagged octets', ber: '05 00', read: (value) => value.implicitOctetString() },
    {
      name: 'a piece that is no octet string',
      ber: '24 03 02 01 05',
      read: (value) => value.octetString(),
    },
  ];
  for (const { name, ber, read } of mistaken) {
    it(`refuses ${name}`, () => {
      const value = BerValue.parse(bytes(ber));
      expect(() => read(value)).to.throw(DerError);
    });
  }

  it('reads octets of any value', () => {
    const all = Uint8Array.from({ length: 256 }, (_, index) => index);
    expect(hex(BerValue.parse(octetString(all)).octetString())).to.equal(hex(all));
  });
});

/** What a file made by {@link build} is to have otherwise than usual. */
interface Parts {
  readonly safeContents?: Uint8Array;
  readonly iterations?: number;
  readonly macIterations?: number;
  readonly encryption?: Uint8Array;
  readonly macHash?: string;
  readonly contentType?: string;
  readonly version?: number;
}

/** A file with a right MAC and one encrypted SafeContents, `secret1`. */
function build(parts: Parts): Uint8Array {
  const salt = bytes('0102030405060708');
  const iv = new Uint8Array(16);
  const key = pbkdf2Sync('secret1', salt, 1, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const plain = parts.safeContents ?? sequence();
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  const algorithm = parts.encryption ?? encryption(salt, iv, parts.iterations ?? 1);
  const content = sequence(
    sequence(
      oid(parts.contentType ?? '1.2.840.113549.1.7.6'),
      explicit(
        0,
        sequence(integer(0), sequence(oid(DATA), algorithm, element(Tag.context(0), encrypted))),
      ),
    ),
  );
  const mac = pkcs12Mac(content, 'secret1', { hash: 'sha256', salt, iterations: 1 });
  return sequence(
    integer(parts.version ?? 3),
    sequence(oid(DATA), explicit(0, octetString(content))),
    sequence(
      sequence(sequence(oid(parts.macHash ?? '2.16.840.1.101.3.4.2.1')), octetString(mac)),
      octetString(salt),
      integer(parts.macIterations ?? 1),
    ),
  );
}

function encryption(salt: Uint8Array, iv: Uint8Array, iterations: number, ids: Ids = {}) {
  const prf = sequence(oid(ids.prf ?? '1.2.840.113549.2.9'));
  const pbkdf2Parameters = sequence(octetString(salt), integer(iterations), integer(32), prf);
  return sequence(
    oid(ids.scheme ?? '1.2.840.113549.1.5.13'),
    sequence(
      sequence(oid(ids.kdf ?? '1.2.840.113549.1.5.12'), pbkdf2Parameters),
      sequence(oid(ids.cipher ?? '2.16.840.1.101.3.4.1.42'), octetString(iv)),
    ),
  );
}

interface Ids {
  readonly scheme?: string;
  readonly kdf?: string;
  readonly prf?: string;
  readonly cipher?: string;
}

/** SafeContents of one bag. */
function bag(type: string, value: Uint8Array): Uint8Array {
  return sequence(sequence(oid(type), explicit(0, value)));
}

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
