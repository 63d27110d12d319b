import { expect } from 'chai';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import * as der from '../../src/pki/der-writer.ts';
import { element } from '../../src/pki/der-writer.ts';
import { Tag } from '../../src/pki/der.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import { ExtensionOid } from '../../src/pki/oids.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';
import {
  basicConstraints,
  keyUsage,
  rawCa,
  type RawIssued,
  rawLeaf,
  testNow,
} from '../support/raw-certificate.ts';

const rfc822 = (text: string) => der.implicit(1, Buffer.from(text));
const dns = (text: string) => der.implicit(2, Buffer.from(text));
const uri = (text: string) => der.implicit(6, Buffer.from(text));
const ip = (...bytes: number[]) => der.implicit(7, Uint8Array.from(bytes));
const dirName = (name: Uint8Array) => der.explicit(4, name);
const otherName = (text: string) =>
  der.explicit(0, der.objectIdentifier('1.2.3'), der.explicit(0, der.utf8String(text)));

function constraints(
  permitted: readonly Uint8Array[],
  excluded: readonly Uint8Array[],
): Uint8Array {
  const subtrees = (number: number, bases: readonly Uint8Array[]) =>
    bases.length === 0 ? [] : [der.explicit(number, ...bases.map((base) => der.sequence(base)))];
  const value = der.sequence(...subtrees(0, permitted), ...subtrees(1, excluded));
  return encodeExtension(ExtensionOid.nameConstraints, true, value);
}

function leafNamed(
  issuer: RawIssued,
  names: readonly Uint8Array[],
  subject?: Uint8Array,
): RawIssued {
  const subjectName = subject ?? encodeName({});
  const san = encodeExtension(ExtensionOid.subjectAltName, true, der.sequence(...names));
  return rawLeaf(issuer, {
    subject: subjectName,
    extensions: [basicConstraints({}), keyUsage(['digitalSignature']), san],
  });
}

function reasonFor(chain: readonly RawIssued[], anchor: RawIssued, comparisons?: number): string {
  try {
    verifyChain({
      certificates: chain.map((each) => each.der),
      anchors: createTrustAnchors([anchor.certificate]),
      now: testNow,
      purpose: 'server',
      ...(comparisons === undefined ? {} : { budget: { nameComparisons: comparisons } }),
    });
    return 'accepted';
  } catch (error) {
    if (error instanceof CertificateError) return error.reason;
    throw error;
  }
}

const violated = 'name_constraint_violated';
const unusable = 'unusable_name_constraint';
const v6 = (last: number) => [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
const v6mask = [...Array.from({ length: 15 }, () => 0xff), 0];
const acme = encodeName({ country: 'DE', organization: 'Acme' });
const acmeLeaf = encodeName({ country: 'DE', organization: 'Acme', commonName: 'leaf' });
const printableAcme = der.sequence(
  der.setOf(der.sequence(der.objectIdentifier('2.5.4.6'), der.printableString('DE'))),
  der.setOf(der.sequence(der.objectIdentifier('2.5.4.10'), der.printableString(' ACME '))),
);
const mailSubject = der.sequence(
  der.setOf(
    der.sequence(
      der.objectIdentifier('1.2.840.113549.1.9.1'),
      element(Tag.ia5String, Buffer.from('eve@evil.test')),
    ),
  ),
);

interface Row {
  readonly name: string;
  readonly permitted?: readonly Uint8Array[];
  readonly excluded?: readonly Uint8Array[];
  readonly names: readonly Uint8Array[];
  readonly subject?: Uint8Array;
  readonly expected: string;
}

const rows: readonly Row[] = [
  {
    name: 'a DNS name that is the base',
    permitted: [dns('a.test')],
    names: [dns('A.Test')],
    expected: 'accepted',
  },
  {
    name: 'a DNS name below the base',
    permitted: [dns('a.test')],
    names: [dns('x.y.a.test')],
    expected: 'accepted',
  },
  {
    name: 'a DNS name that only ends like the base',
    permitted: [dns('a.test')],
    names: [dns('ba.test')],
    expected: violated,
  },
  {
    name: 'one of two DNS names outside',
    permitted: [dns('a.test')],
    names: [dns('a.test'), dns('b.test')],
    expected: violated,
  },
  {
    name: 'a DNS name in the second of two bases',
    permitted: [dns('a.test'), dns('b.test')],
    names: [dns('b.test')],
    expected: 'accepted',
  },
  {
    name: 'a wildcard within',
    permitted: [dns('a.test')],
    names: [dns('*.a.test')],
    expected: 'accepted',
  },
  {
    name: 'a wildcard wider than the base',
    permitted: [dns('x.a.test')],
    names: [dns('*.a.test')],
    expected: violated,
  },
  {
    name: 'an excluded DNS name',
    excluded: [dns('a.test')],
    names: [dns('x.a.test')],
    expected: violated,
  },
  {
    name: 'a DNS name beside the excluded one',
    excluded: [dns('a.test')],
    names: [dns('b.test')],
    expected: 'accepted',
  },
  {
    name: 'a wildcard that stands for an excluded name',
    excluded: [dns('x.a.test')],
    names: [dns('*.a.test')],
    expected: violated,
  },
  {
    name: 'a wildcard that cannot reach an excluded name',
    excluded: [dns('x.y.a.test')],
    names: [dns('*.a.test')],
    expected: 'accepted',
  },
  {
    name: 'all DNS names excluded',
    excluded: [dns('')],
    names: [dns('a.test')],
    expected: violated,
  },
  {
    name: 'excluded within permitted',
    permitted: [dns('a.test')],
    excluded: [dns('x.a.test')],
    names: [dns('x.a.test')],
    expected: violated,
  },
  {
    name: 'names of another kind than constrained',
    permitted: [dns('a.test')],
    names: [uri('spiffe://d.test/x')],
    expected: 'accepted',
  },
  {
    name: 'a DNS base with a leading dot',
    permitted: [dns('.a.test')],
    names: [dns('x.a.test')],
    expected: unusable,
  },
  {
    name: 'a DNS base with a wildcard',
    permitted: [dns('*.a.test')],
    names: [dns('x.a.test')],
    expected: unusable,
  },

  {
    name: 'an address in the network',
    permitted: [ip(10, 1, 0, 0, 255, 255, 0, 0)],
    names: [ip(10, 1, 2, 3)],
    expected: 'accepted',
  },
  {
    name: 'an address outside',
    permitted: [ip(10, 1, 0, 0, 255, 255, 0, 0)],
    names: [ip(10, 2, 2, 3)],
    expected: violated,
  },
  {
    name: 'an address in a network of odd length',
    permitted: [ip(10, 1, 128, 0, 255, 255, 128, 0)],
    names: [ip(10, 1, 200, 1)],
    expected: 'accepted',
  },
  {
    name: 'an excluded address',
    excluded: [ip(10, 1, 2, 3, 255, 255, 255, 255)],
    names: [ip(10, 1, 2, 3)],
    expected: violated,
  },
  {
    name: 'an IPv6 address in the network',
    permitted: [ip(...v6(0), ...v6mask)],
    names: [ip(...v6(9))],
    expected: 'accepted',
  },
  {
    name: 'an IPv4 address where IPv6 is permitted',
    permitted: [ip(...v6(0), ...v6mask)],
    names: [ip(10, 1, 2, 3)],
    expected: violated,
  },
  {
    name: 'a mask with a hole',
    permitted: [ip(10, 0, 0, 0, 255, 0, 255, 0)],
    names: [ip(10, 1, 2, 3)],
    expected: unusable,
  },
  {
    name: 'a mask with a hole in a byte',
    permitted: [ip(10, 0, 0, 0, 0xfd, 0, 0, 0)],
    names: [ip(10, 1, 2, 3)],
    expected: unusable,
  },
  {
    name: 'a network of five bytes',
    permitted: [ip(10, 0, 0, 0, 255)],
    names: [ip(10, 1, 2, 3)],
    expected: unusable,
  },

  {
    name: 'a URI of the host',
    permitted: [uri('d.test')],
    names: [uri('spiffe://d.test/x')],
    expected: 'accepted',
  },
  {
    name: 'a URI with user and port',
    permitted: [uri('d.test')],
    names: [uri('https://me@d.test:8443/x')],
    expected: 'accepted',
  },
  {
    name: 'a URI of a host below an exact base',
    permitted: [uri('d.test')],
    names: [uri('spiffe://x.d.test/x')],
    expected: violated,
  },
  {
    name: 'a URI of a host below a base with a dot',
    permitted: [uri('.d.test')],
    names: [uri('spiffe://x.d.test/x')],
    expected: 'accepted',
  },
  {
    name: 'a URI of the base itself where subdomains are meant',
    permitted: [uri('.d.test')],
    names: [uri('spiffe://d.test/x')],
    expected: violated,
  },
  {
    name: 'an excluded URI',
    excluded: [uri('d.test')],
    names: [uri('spiffe://d.test/x')],
    expected: violated,
  },
  {
    name: 'a URI without a host',
    permitted: [uri('d.test')],
    names: [uri('urn:x:y')],
    expected: violated,
  },
  {
    name: 'a URI without a host where hosts are excluded',
    excluded: [uri('d.test')],
    names: [uri('urn:x:y')],
    expected: violated,
  },
  {
    name: 'a URI of an address',
    permitted: [uri('d.test')],
    names: [uri('https://10.1.2.3/')],
    expected: violated,
  },
  {
    name: 'a URI of an IPv6 address',
    permitted: [uri('d.test')],
    names: [uri('https://[::1]/')],
    expected: violated,
  },
  {
    name: 'a URI base that is a URI',
    permitted: [uri('spiffe://d.test')],
    names: [uri('spiffe://d.test/x')],
    expected: unusable,
  },

  {
    name: 'the mailbox',
    permitted: [rfc822('me@a.test')],
    names: [rfc822('me@A.test')],
    expected: 'accepted',
  },
  {
    name: 'a mailbox that differs in case',
    permitted: [rfc822('me@a.test')],
    names: [rfc822('Me@a.test')],
    expected: violated,
  },
  {
    name: 'a mailbox of the host',
    permitted: [rfc822('a.test')],
    names: [rfc822('you@a.test')],
    expected: 'accepted',
  },
  {
    name: 'a mailbox below an exact host',
    permitted: [rfc822('a.test')],
    names: [rfc822('you@x.a.test')],
    expected: violated,
  },
  {
    name: 'a mailbox below a host with a dot',
    permitted: [rfc822('.a.test')],
    names: [rfc822('you@x.a.test')],
    expected: 'accepted',
  },
  {
    name: 'an excluded mailbox',
    excluded: [rfc822('a.test')],
    names: [rfc822('you@a.test')],
    expected: violated,
  },
  {
    name: 'a mailbox base with two at signs',
    permitted: [rfc822('a@b@a.test')],
    names: [rfc822('you@a.test')],
    expected: unusable,
  },
  {
    name: 'a mailbox in the subject',
    permitted: [rfc822('a.test')],
    names: [dns('a.test')],
    subject: mailSubject,
    expected: violated,
  },

  {
    name: 'a subject below the directory name',
    permitted: [dirName(acme)],
    names: [dns('a.test')],
    subject: acmeLeaf,
    expected: 'accepted',
  },
  {
    name: 'a subject beside the directory name',
    permitted: [dirName(acme)],
    names: [dns('a.test')],
    subject: encodeName({ country: 'DE' }),
    expected: violated,
  },
  {
    name: 'an alternative directory name outside',
    permitted: [dirName(acme)],
    names: [dirName(encodeName({ country: 'FR' }))],
    subject: acmeLeaf,
    expected: violated,
  },
  {
    name: 'an excluded subject',
    excluded: [dirName(acme)],
    names: [dns('a.test')],
    subject: acmeLeaf,
    expected: violated,
  },
  {
    name: 'an excluded subject in other letters and string types',
    excluded: [dirName(printableAcme)],
    names: [dns('a.test')],
    subject: acmeLeaf,
    expected: violated,
  },
  {
    name: 'an empty subject under directory constraints',
    permitted: [dirName(acme)],
    names: [dns('a.test')],
    expected: 'accepted',
  },

  {
    name: 'a kind we cannot compare',
    permitted: [otherName('x')],
    names: [otherName('x'), dns('a.test')],
    expected: unusable,
  },
  {
    name: 'a kind we cannot compare that does not occur',
    excluded: [otherName('x')],
    names: [dns('a.test')],
    expected: 'accepted',
  },
];

describe('checkNameConstraints (RFC 5280 §4.2.1.10)', () => {
  for (const { name, permitted = [], excluded = [], names, subject, expected } of rows) {
    it(`${expected === 'accepted' ? 'accepts' : 'refuses'} ${name}`, () => {
      const ca = rawCa({ subject: 'ca', more: [constraints(permitted, excluded)] });
      expect(reasonFor([leafNamed(ca, names, subject)], ca)).to.equal(expected);
    });
  }

  it('binds intermediates too, but not self-issued ones', () => {
    const root = rawCa({ subject: 'root', more: [constraints([dns('a.test')], [])] });
    const sanOutside = encodeExtension(
      ExtensionOid.subjectAltName,
      false,
      der.sequence(dns('b.test')),
    );
    const outside = rawCa({ subject: 'ca', issuer: root, more: [sanOutside] });
    const selfIssued = rawCa({ subject: 'root', issuer: root, more: [sanOutside] });
    const leafNames = [dns('a.test')];
    expect(reasonFor([leafNamed(outside, leafNames), outside], root)).to.equal(violated);
    expect(reasonFor([leafNamed(selfIssued, leafNames), selfIssued], root)).to.equal('accepted');
  });

  it('takes what every CA of the path permits', () => {
    const root = rawCa({ subject: 'root', more: [constraints([dns('a.test')], [])] });
    const ca = rawCa({ subject: 'ca', issuer: root, more: [constraints([dns('x.a.test')], [])] });
    expect(reasonFor([leafNamed(ca, [dns('www.x.a.test')]), ca], root)).to.equal('accepted');
    expect(reasonFor([leafNamed(ca, [dns('www.a.test')]), ca], root)).to.equal(violated);
  });

  it('stops at the budget of comparisons', () => {
    const many = Array.from({ length: 40 }, (_, index) => dns(`n${String(index)}.test`));
    const ca = rawCa({ subject: 'ca', more: [constraints([dns('test'), ...many], [])] });
    expect(reasonFor([leafNamed(ca, many)], ca)).to.equal('accepted');
    expect(reasonFor([leafNamed(ca, many)], ca, 1000)).to.equal('chain_too_complex');
  });

  const malformed: { name: string; value: Uint8Array }[] = [
    { name: 'neither list', value: der.sequence() },
    { name: 'an empty list', value: der.sequence(der.explicit(0)) },
    {
      name: 'a minimum',
      value: der.sequence(
        der.explicit(0, der.sequence(dns('a.test'), der.implicit(0, Uint8Array.of(1)))),
      ),
    },
    {
      name: 'a maximum',
      value: der.sequence(
        der.explicit(0, der.sequence(dns('a.test'), der.implicit(1, Uint8Array.of(1)))),
      ),
    },
  ];
  for (const { name, value } of malformed) {
    it(`refuses constraints with ${name}`, () => {
      const extension = encodeExtension(ExtensionOid.nameConstraints, true, value);
      expect(() => rawCa({ more: [extension] })).to.throw(CertificateError);
    });
  }
});
