import { expect } from 'chai';
import { X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { Certificate, describeCertificate, parseCertificate } from '../../src/pki/certificate.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import * as der from '../../src/pki/der-writer.ts';
import { element } from '../../src/pki/der-writer.ts';
import { DerReader, Tag } from '../../src/pki/der.ts';
import {
  commonNameOf,
  comparableName,
  describeName,
  encodeName,
} from '../../src/pki/distinguished-name.ts';
import { encodeExtension, exportPublicKeyInfo } from '../../src/pki/issue-certificate.ts';
import {
  basicConstraints,
  keyUsage,
  rawCa,
  rawCertificate,
  rawLeaf,
  subjectAltNames,
} from '../support/raw-certificate.ts';

const ca = rawCa({ subject: 'ca' });
const good = rawLeaf(ca);

/** Fields of a certificate, to be replaced one at a time. */
interface Parts {
  readonly version: readonly Uint8Array[];
  readonly serialNumber: Uint8Array;
  readonly innerAlgorithm: Uint8Array;
  readonly outerAlgorithm: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly publicKeyInfo: Uint8Array;
  readonly tail: readonly Uint8Array[];
  readonly signature: Uint8Array;
}

const ecdsaSha256 = der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2'));
const noConstraints = der.explicit(3, der.sequence(basicConstraints({})));
const date = (text: string) => element(Tag.utcTime, Buffer.from(text));

const parts: Parts = {
  version: [der.explicit(0, der.integer(2))],
  serialNumber: der.integer(5),
  innerAlgorithm: ecdsaSha256,
  outerAlgorithm: ecdsaSha256,
  issuer: encodeName({ commonName: 'ca' }),
  validity: der.sequence(date('300101000000Z'), date('310101000000Z')),
  subject: encodeName({ commonName: 'leaf' }),
  publicKeyInfo: exportPublicKeyInfo(good.publicKey),
  tail: [noConstraints],
  signature: der.bitString(new Uint8Array(70)),
};

function assemble(changes: Partial<Parts>): Uint8Array {
  const all = { ...parts, ...changes };
  const tbs = der.sequence(
    ...all.version,
    all.serialNumber,
    all.innerAlgorithm,
    all.issuer,
    all.validity,
    all.subject,
    all.publicKeyInfo,
    ...all.tail,
  );
  return der.sequence(tbs, all.outerAlgorithm, all.signature);
}

const extensions = (...list: readonly Uint8Array[]) => ({
  tail: [der.explicit(3, der.sequence(...list))],
});
const extension = (oid: string, value: Uint8Array) =>
  extensions(encodeExtension(oid, false, value));

describe('parseCertificate (RFC 5280 §4.1)', () => {
  it('reads what node reads', () => {
    const { certificate } = rawCertificate({
      subject: encodeName({ country: 'DE', organization: 'Acme', commonName: 'leaf' }),
      issuer: ca,
      serialNumber: Uint8Array.of(0x80, 1),
      extensions: [
        subjectAltNames({
          dnsNames: ['a.test'],
          uris: ['spiffe://d.test/x'],
          emailAddresses: ['a@b.test'],
        }),
      ],
    });
    const node = new X509Certificate(certificate.der);
    expect(Buffer.from(certificate.serialNumber).toString('hex')).to.equal(
      `00${node.serialNumber}`,
    );
    expect(certificate.notBefore.getTime()).to.equal(Date.parse(node.validFrom));
    expect(certificate.notAfter.getTime()).to.equal(Date.parse(node.validTo));
    expect(certificate.publicKey.equals(node.publicKey)).to.be.true;
    expect(Buffer.from(certificate.fingerprint).toString('hex').toUpperCase()).to.equal(
      node.fingerprint256.replaceAll(':', ''),
    );
    expect(describeName(certificate.subject)).to.equal('CN=leaf,O=Acme,C=DE');
    const { dnsNames, uris, emailAddresses } = certificate.subjectAltNames;
    expect(node.subjectAltName).to.equal(
      `URI:${String(uris)}, DNS:${String(dnsNames)}, email:${String(emailAddresses)}`,
    );
  });

  it('reads the extensions', () => {
    const { certificate } = rawCa({ pathLength: 3 });
    expect(certificate.basicConstraints).to.deep.equal({
      isCa: true,
      pathLength: 3,
      critical: true,
    });
    expect(certificate.keyUsage).to.deep.equal(['keyCertSign', 'cRLSign']);
    expect(good.certificate.extendedKeyUsage).to.deep.equal(['serverAuth', 'clientAuth']);
    expect(certificate.nameConstraints).to.equal(undefined);
  });

  it('names the algorithm it is signed with as TLS does', () => {
    expect(good.certificate.signatureScheme).to.equal(0x0403);
    const sha1 = der.sequence(der.objectIdentifier('1.2.840.10045.4.1'));
    const weak = parseCertificate(assemble({ innerAlgorithm: sha1, outerAlgorithm: sha1 }));
    expect(weak.signatureScheme).to.equal(undefined);
  });

  it('reads certificates of versions 1 and 2, with unique identifiers in the latter', () => {
    const one = parseCertificate(assemble({ version: [], tail: [] }));
    expect(one.version).to.equal(1);
    expect(one.subjectAltNames.dnsNames).to.deep.equal([]);
    const ids = [der.implicit(1, Uint8Array.of(0, 1)), der.implicit(2, Uint8Array.of(0, 1))];
    const two = parseCertificate(
      assemble({ version: [der.explicit(0, der.integer(1))], tail: ids }),
    );
    expect(two.version).to.equal(2);
  });

  it('keeps names of kinds we do not interpret', () => {
    const names = der.sequence(
      der.explicit(0, der.objectIdentifier('1.2.3'), der.explicit(0, der.utf8String('x'))),
      der.explicit(3, der.sequence()),
      der.explicit(4, encodeName({ commonName: 'x' })),
      der.explicit(5, der.sequence()),
      der.implicit(8, Uint8Array.of(0x2a)),
    );
    const found = parseCertificate(assemble(extension('2.5.29.17', names))).subjectAltNames;
    expect(found.others.map(({ kind }) => kind)).to.deep.equal([0, 3, 5, 8]);
    expect(found.directoryNames).to.have.length(1);
  });

  const publicKey = (algorithm: Uint8Array, bits: Uint8Array) => ({
    publicKeyInfo: der.sequence(algorithm, der.bitString(bits)),
  });
  const ec = (curve: string) =>
    der.sequence(der.objectIdentifier('1.2.840.10045.2.1'), der.objectIdentifier(curve));
  const unusable: { name: string; info: Partial<Parts> }[] = [
    { name: 'P-521', info: publicKey(ec('1.3.132.0.35'), new Uint8Array(133).fill(4)) },
    {
      name: 'a compressed point',
      info: publicKey(ec('1.2.840.10045.3.1.7'), new Uint8Array(33).fill(2)),
    },
    {
      name: 'a hybrid point',
      info: publicKey(ec('1.2.840.10045.3.1.7'), new Uint8Array(65).fill(6)),
    },
    {
      name: 'a short Ed25519 key',
      info: publicKey(der.sequence(der.objectIdentifier('1.3.101.112')), new Uint8Array(31)),
    },
    {
      name: 'X25519',
      info: publicKey(der.sequence(der.objectIdentifier('1.3.101.110')), new Uint8Array(32)),
    },
    {
      name: 'explicit curve parameters',
      info: publicKey(
        der.sequence(der.objectIdentifier('1.2.840.10045.2.1'), der.sequence()),
        new Uint8Array(65).fill(4),
      ),
    },
    {
      name: 'RSA without NULL',
      info: publicKey(
        der.sequence(der.objectIdentifier('1.2.840.113549.1.1.1')),
        new Uint8Array(9),
      ),
    },
  ];
  for (const { name, info } of unusable) {
    it(`knows no kind for ${name}`, () => {
      expect(parseCertificate(assemble(info)).keyKind).to.equal(undefined);
    });
  }

  it('says so when asked for a key that is none', () => {
    const offCurve = Buffer.concat([Uint8Array.of(4), new Uint8Array(64).fill(1)]);
    const certificate = parseCertificate(assemble(publicKey(ec('1.2.840.10045.3.1.7'), offCurve)));
    expect(certificate.keyKind).to.equal('ecdsa-p256');
    expect(() => certificate.publicKey).to.throw(CertificateError, /public key of CN=leaf/);
  });

  const oid = der.objectIdentifier('1.2.3');
  const refused: { name: string; change: Partial<Parts> }[] = [
    {
      name: 'version 1 written out',
      change: { version: [der.explicit(0, der.integer(0))], tail: [] },
    },
    { name: 'version 4', change: { version: [der.explicit(0, der.integer(3))] } },
    { name: 'extensions in version 1', change: { version: [] } },
    { name: 'extensions in version 2', change: { version: [der.explicit(0, der.integer(1))] } },
    {
      name: 'a unique identifier in version 1',
      change: { version: [], tail: [der.implicit(1, Uint8Array.of(0))] },
    },
    {
      name: 'a padded serial number',
      change: { serialNumber: element(Tag.integer, Uint8Array.of(0, 1)) },
    },
    { name: 'two different algorithms', change: { outerAlgorithm: der.sequence(oid) } },
    {
      name: 'two spellings of one algorithm',
      change: {
        outerAlgorithm: der.sequence(
          der.objectIdentifier('1.2.840.10045.4.3.2'),
          element(Tag.null),
        ),
      },
    },
    { name: 'a validity of one time', change: { validity: der.sequence(date('300101000000Z')) } },
    {
      name: 'a validity of three times',
      change: {
        validity: der.sequence(date('300101000000Z'), date('300101000000Z'), date('300101000000Z')),
      },
    },
    {
      name: 'a name that is no sequence of sets',
      change: { issuer: der.sequence(der.sequence()) },
    },
    { name: 'a name with an empty set', change: { subject: der.sequence(element(Tag.set)) } },
    {
      name: 'an attribute of three parts',
      change: {
        subject: der.sequence(
          der.setOf(der.sequence(oid, der.utf8String('a'), der.utf8String('b'))),
        ),
      },
    },
    {
      name: 'a signature with unused bits',
      change: { signature: element(Tag.bitString, Uint8Array.of(1, 2)) },
    },
    {
      name: 'a key with unused bits',
      change: {
        publicKeyInfo: der.sequence(ecdsaSha256, element(Tag.bitString, Uint8Array.of(1, 2))),
      },
    },
    { name: 'something after the extensions', change: { tail: [noConstraints, der.integer(1)] } },
    {
      name: 'something beside the extensions',
      change: { tail: [der.explicit(3, der.sequence(basicConstraints({})), der.integer(1))] },
    },
    { name: 'no extension in the list', change: { tail: [der.explicit(3, der.sequence())] } },
    { name: 'an extension twice', change: extensions(basicConstraints({}), basicConstraints({})) },
    {
      name: 'an extension that is critical FALSE',
      change: extensions(der.sequence(oid, der.boolean(false), der.octetString(oid))),
    },
    {
      name: 'an extension with something behind',
      change: extensions(der.sequence(oid, der.octetString(oid), oid)),
    },
    {
      name: '33 extensions',
      change: extensions(
        ...Array.from({ length: 33 }, (_, index) =>
          encodeExtension(`1.2.${String(index)}`, false, oid),
        ),
      ),
    },
    {
      name: 'cA FALSE written out',
      change: extension('2.5.29.19', der.sequence(der.boolean(false))),
    },
    {
      name: 'a negative path length',
      change: extension(
        '2.5.29.19',
        der.sequence(der.boolean(true), element(Tag.integer, Uint8Array.of(0xff))),
      ),
    },
    {
      name: 'basic constraints with more',
      change: extension(
        '2.5.29.19',
        der.sequence(der.boolean(true), der.integer(1), der.integer(1)),
      ),
    },
    { name: 'a key usage without bits', change: extensions(keyUsage([])) },
    {
      name: 'a key usage with a trailing byte',
      change: extension('2.5.29.15', Buffer.concat([der.namedBits([0]), Uint8Array.of(0)])),
    },
    { name: 'an empty extended key usage', change: extension('2.5.29.37', der.sequence()) },
    { name: 'empty alternative names', change: extension('2.5.29.17', der.sequence()) },
    {
      name: 'an alternative name that is not ASCII',
      change: extension('2.5.29.17', der.sequence(der.implicit(2, Uint8Array.of(0xe4)))),
    },
    {
      name: 'an alternative name of an unknown kind',
      change: extension('2.5.29.17', der.sequence(der.implicit(9, Uint8Array.of(1)))),
    },
    {
      name: 'a DNS name in constructed form',
      change: extension('2.5.29.17', der.sequence(der.explicit(2, der.octetString(oid)))),
    },
    {
      name: 'an authority key identifier with half a serial',
      change: extension('2.5.29.35', der.sequence(der.implicit(2, Uint8Array.of(1)))),
    },
    {
      name: 'an authority key identifier with more',
      change: extension(
        '2.5.29.35',
        der.sequence(der.implicit(0, Uint8Array.of(1)), der.implicit(3, Uint8Array.of(1))),
      ),
    },
    {
      name: 'an empty authority information access',
      change: extension('1.3.6.1.5.5.7.1.1', der.sequence()),
    },
    {
      name: 'a subject key identifier that is none',
      change: extension('2.5.29.14', der.integer(1)),
    },
  ];
  for (const { name, change } of refused) {
    it(`refuses ${name}`, () => {
      const bytes = assemble(change);
      expect(() => parseCertificate(bytes))
        .to.throw(CertificateError)
        .with.property('reason', 'malformed_certificate');
    });
  }

  it('takes the certificate the refused ones differ from, and no byte more', () => {
    expect(parseCertificate(assemble({}))).to.be.instanceOf(Certificate);
    const longer = Buffer.concat([assemble({}), Uint8Array.of(0)]);
    expect(() => parseCertificate(longer)).to.throw(CertificateError, /trailing/);
    expect(() => parseCertificate(new Uint8Array(33_000))).to.throw(
      CertificateError,
      /longer than/,
    );
  });

  it('reads a complete authority key identifier', () => {
    const value = der.sequence(
      der.implicit(0, Uint8Array.of(7)),
      der.explicit(1, der.explicit(4, encodeName({ commonName: 'x' }))),
      der.implicit(2, Uint8Array.of(1)),
    );
    const { authorityKeyId } = parseCertificate(assemble(extension('2.5.29.35', value)));
    expect(Buffer.from(authorityKeyId ?? []).toString('hex')).to.equal('07');
  });

  it('does not change its mind when any byte changes: a certificate or a CertificateError', () => {
    const original = rawLeaf(ca, { more: [encodeExtension('1.2.3', false, oid)] }).der;
    let parsed = 0;
    for (let index = 0; index < original.length; index += 1) {
      for (const mask of [0x01, 0x20, 0x80, 0xff]) {
        const changed = Uint8Array.from(original);
        changed[index] = (changed[index] ?? 0) ^ mask;
        try {
          parsed += parseCertificate(changed) instanceof Certificate ? 1 : 0;
        } catch (error) {
          expect(error, `byte ${String(index)}`).to.be.instanceOf(CertificateError);
        }
      }
    }
    // Names, key, signature and serial are opaque to the parser; the rest is not.
    expect(parsed).to.be.lessThan(original.length * 4 * 0.7);
  });
});

describe('names in messages (RFC 4514)', () => {
  it('names a certificate by its subject, or else by its first name', () => {
    expect(describeCertificate(good.certificate)).to.equal('CN=leaf');
    const nameless = (names: Parameters<typeof subjectAltNames>[0]) =>
      rawLeaf(ca, { subject: encodeName({}), extensions: [subjectAltNames(names)] }).certificate;
    expect(describeCertificate(nameless({ dnsNames: ['a.test'] }))).to.equal('a.test');
    expect(describeCertificate(nameless({ uris: ['spiffe://d.test/x'] }))).to.equal(
      'spiffe://d.test/x',
    );
    expect(describeCertificate(nameless({ ipAddresses: [Uint8Array.of(1, 2, 3, 4)] }))).to.equal(
      '(empty name)',
    );
    const long = describeCertificate(nameless({ uris: [`spiffe://d/${'x'.repeat(900)}`] }));
    expect(long).to.have.length(203);
  });

  it('cuts and cleans', () => {
    const many = der.sequence(
      ...Array.from({ length: 9 }, () =>
        der.setOf(
          der.sequence(der.objectIdentifier('2.5.4.3'), der.utf8String(`\n${'x'.repeat(30)}`)),
        ),
      ),
    );
    const text = describeName(many);
    expect(text).to.have.length(203);
    expect(text).to.match(/^CN=\?x+/);
  });

  it('shows several attributes at once and unknown ones by number', () => {
    const name = der.sequence(
      der.setOf(
        der.sequence(der.objectIdentifier('2.5.4.3'), der.utf8String('a')),
        der.sequence(der.objectIdentifier('1.2.3'), der.utf8String('b')),
      ),
    );
    expect(describeName(name)).to.equal('1.2.3=b+CN=a');
    expect(commonNameOf(name)).to.equal('a');
    expect(commonNameOf(encodeName({ organization: 'x' }))).to.equal(undefined);
  });

  it('compares values that are no text by their bytes', () => {
    const name = der.sequence(
      der.setOf(
        der.sequence(
          der.objectIdentifier('2.5.4.3'),
          element(Tag.bmpString, Uint8Array.of(0, 0x41)),
        ),
      ),
    );
    expect(comparableName(name)).to.deep.equal(['2.5.4.3=#0041']);
  });

  it('writes names within the bounds of RFC 5280 appendix A.1', () => {
    expect(() => encodeName({ country: 'de' })).to.throw(RangeError);
    expect(() => encodeName({ commonName: '' })).to.throw(RangeError);
    expect(() => encodeName({ commonName: 'x'.repeat(65) })).to.throw(RangeError);
    const name = encodeName({ organization: 'a', organizationalUnit: 'b', country: 'DE' });
    expect(describeName(name)).to.equal('OU=b,O=a,C=DE');
    expect(new DerReader(name).next(Tag.sequence)).to.be.true;
  });
});

describe('roots of the public web, as node ships them', () => {
  it('are all read, with keys of kinds we know', () => {
    for (const pem of rootCertificates) {
      const node = new X509Certificate(pem);
      const certificate = parseCertificate(node.raw);
      expect(certificate.publicKey.equals(node.publicKey), node.subject).to.be.true;
      // Newer lists have roots on P-521, which are read and not used.
      const curve = node.publicKey.asymmetricKeyDetails?.namedCurve;
      const kinds = curve === 'secp521r1' ? [undefined] : ['rsa', 'ecdsa-p256', 'ecdsa-p384'];
      expect(certificate.keyKind, node.subject).to.be.oneOf(kinds);
    }
  });
});
