import { expect } from 'chai';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { CrlSet } from '../../src/pki/crl-set.ts';
import { parseCrl } from '../../src/pki/crl.ts';
import * as der from '../../src/pki/der-writer.ts';
import { element } from '../../src/pki/der-writer.ts';
import { Tag } from '../../src/pki/der.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import { type CrlTemplate, issueCrl } from '../../src/pki/issue-crl.ts';
import { algorithmOfScheme, signIssued } from '../../src/pki/signature-algorithm.ts';
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

const HOUR = 3_600_000;
const root = rawCa({ subject: 'root' });
const intermediate = rawCa({
  subject: 'intermediate',
  issuer: root,
  serialNumber: Uint8Array.of(77),
});
const leaf = rawLeaf(intermediate, { serialNumber: Uint8Array.of(0xf0, 9) });

function crlOf(issuer: RawIssued, changes: Partial<CrlTemplate> = {}): Uint8Array {
  return issueCrl({
    issuer,
    crlNumber: 1n,
    thisUpdate: new Date(testNow.getTime() - HOUR),
    nextUpdate: new Date(testNow.getTime() + HOUR),
    revoked: [],
    ...changes,
  });
}

function verify(crls: readonly Uint8Array[], whenMissing: 'accept' | 'refuse') {
  return verifyChain({
    certificates: [leaf.der, intermediate.der],
    anchors: createTrustAnchors([root.certificate]),
    now: testNow,
    purpose: 'server',
    crls: new CrlSet(crls.map(parseCrl), { whenMissing }),
  });
}

const revokedLeaf = {
  revoked: [
    { serialNumber: Uint8Array.of(0xf0, 9), revokedAt: testNow, reason: 'keyCompromise' as const },
  ],
};

describe('issueCrl and parseCrl (RFC 5280 §5.1)', () => {
  it('agree', () => {
    const crl = parseCrl(
      crlOf(root, {
        crlNumber: 0xffn,
        revoked: [
          ...revokedLeaf.revoked,
          { serialNumber: Uint8Array.of(3), revokedAt: testNow },
          { serialNumber: Uint8Array.of(4), revokedAt: testNow, reason: 'unspecified' },
        ],
      }),
    );
    expect(Buffer.from(crl.crlNumber).toString('hex')).to.equal('00ff');
    expect(crl.issuer).to.deep.equal(root.certificate.subject);
    expect(crl.scope).to.equal('all');
    expect(crl.revokedCount).to.equal(3);
    const entry = crl.revoked(leaf.certificate.serialNumber);
    expect(entry).to.deep.equal({ revokedAt: testNow, reason: 'keyCompromise' });
    expect(crl.revoked(Uint8Array.of(3))?.reason).to.equal('unspecified');
    expect(crl.revoked(Uint8Array.of(5))).to.equal(undefined);
  });

  it('manage a hundred thousand entries', () => {
    const revoked = Array.from({ length: 100_000 }, (_, index) => ({
      serialNumber: Uint8Array.of(1, index >> 16, (index >> 8) & 0xff, index & 0xff),
      revokedAt: testNow,
    }));
    const crl = parseCrl(crlOf(root, { revoked }));
    expect(crl.revokedCount).to.equal(100_000);
    expect(crl.revoked(Uint8Array.of(1, 1, 0x86, 0x9f))).to.not.equal(undefined);
  });

  it('refuse to issue what is no CRL', () => {
    const signer = rawCa({
      extensions: [basicConstraints({ isCa: true }), keyUsage(['keyCertSign'])],
    });
    expect(() => crlOf(signer)).to.throw(RangeError);
    expect(() => crlOf(root, { crlNumber: -1n })).to.throw(RangeError);
    expect(() => crlOf(root, { crlNumber: 1n << 159n })).to.throw(RangeError);
  });

  interface CrlParts {
    readonly version: readonly Uint8Array[];
    readonly inner: Uint8Array;
    readonly outer: Uint8Array;
    readonly issuer: Uint8Array;
    readonly nextUpdate: readonly Uint8Array[];
    readonly entryExtensions: readonly Uint8Array[];
    readonly extensions: readonly Uint8Array[];
    readonly tail: readonly Uint8Array[];
  }
  const number = encodeExtension('2.5.29.20', false, der.integer(7));
  const p256 = algorithmOfScheme(0x0403);
  function assemble(changes: Partial<CrlParts>): Uint8Array {
    const parts: CrlParts = {
      version: [der.integer(1)],
      inner: p256,
      outer: p256,
      issuer: root.certificate.subject,
      nextUpdate: [der.time(new Date(testNow.getTime() + HOUR))],
      entryExtensions: [],
      extensions: [number],
      tail: [],
      ...changes,
    };
    const { entryExtensions } = parts;
    const tbs = der.sequence(
      ...parts.version,
      parts.inner,
      parts.issuer,
      der.time(new Date(testNow.getTime() - HOUR)),
      ...parts.nextUpdate,
      der.sequence(
        der.sequence(
          der.integer(5),
          der.time(testNow),
          ...(entryExtensions.length > 0 ? [der.sequence(...entryExtensions)] : []),
        ),
      ),
      ...(parts.extensions.length > 0 ? [der.explicit(0, der.sequence(...parts.extensions))] : []),
      ...parts.tail,
    );
    return der.sequence(tbs, parts.outer, der.bitString(signIssued(root.privateKey, 0x0403, tbs)));
  }
  const point = (...fields: readonly Uint8Array[]) => [
    number,
    encodeExtension('2.5.29.28', true, der.sequence(...fields)),
  ];
  const yes = Uint8Array.of(0xff);
  const reason = (value: Uint8Array) => [encodeExtension('2.5.29.21', false, value)];

  it('read the scope a CRL states (§5.2.5)', () => {
    expect(parseCrl(assemble({})).scope).to.equal('all');
    expect(parseCrl(assemble({ extensions: point(der.implicit(1, yes)) })).scope).to.equal(
      'leaves',
    );
    expect(parseCrl(assemble({ extensions: point(der.implicit(2, yes)) })).scope).to.equal('cas');
  });

  it('read entries with other extensions', () => {
    const invalidity = encodeExtension('2.5.29.24', false, der.time(testNow));
    const crl = parseCrl(assemble({ entryExtensions: [...reason(der.enumerated(1)), invalidity] }));
    expect(crl.revoked(Uint8Array.of(5))?.reason).to.equal('keyCompromise');
  });

  const sha1 = der.sequence(der.objectIdentifier('1.2.840.10045.4.1'));
  const refused: { name: string; bytes: Uint8Array; reason: string }[] = [
    {
      name: 'version 1',
      bytes: assemble({ version: [], extensions: [] }),
      reason: 'unsupported_crl',
    },
    { name: 'version 3', bytes: assemble({ version: [der.integer(2)] }), reason: 'malformed_crl' },
    {
      name: 'a signature by SHA-1',
      bytes: assemble({ inner: sha1, outer: sha1 }),
      reason: 'unsupported_crl',
    },
    { name: 'two different algorithms', bytes: assemble({ inner: sha1 }), reason: 'malformed_crl' },
    { name: 'no issuer', bytes: assemble({ issuer: encodeName({}) }), reason: 'malformed_crl' },
    { name: 'no next update', bytes: assemble({ nextUpdate: [] }), reason: 'unsupported_crl' },
    { name: 'no extensions', bytes: assemble({ extensions: [] }), reason: 'unsupported_crl' },
    {
      name: 'no CRL number',
      bytes: assemble({ extensions: [encodeExtension('1.2.3', false, yes)] }),
      reason: 'unsupported_crl',
    },
    {
      name: 'a critical CRL number',
      bytes: assemble({ extensions: [encodeExtension('2.5.29.20', true, der.integer(1))] }),
      reason: 'malformed_crl',
    },
    {
      name: 'a negative CRL number',
      bytes: assemble({
        extensions: [encodeExtension('2.5.29.20', false, element(Tag.integer, yes))],
      }),
      reason: 'malformed_crl',
    },
    {
      name: 'a CRL number of 21 bytes',
      bytes: assemble({
        extensions: [
          encodeExtension('2.5.29.20', false, der.unsignedInteger(new Uint8Array(21).fill(1))),
        ],
      }),
      reason: 'malformed_crl',
    },
    {
      name: 'a delta',
      bytes: assemble({ extensions: [number, encodeExtension('2.5.29.27', true, der.integer(1))] }),
      reason: 'unsupported_crl',
    },
    {
      name: 'an unknown critical extension',
      bytes: assemble({ extensions: [number, encodeExtension('1.2.3', true, yes)] }),
      reason: 'unsupported_crl',
    },
    {
      name: 'an indirect CRL',
      bytes: assemble({ extensions: point(der.implicit(4, yes)) }),
      reason: 'unsupported_crl',
    },
    {
      name: 'some reasons only',
      bytes: assemble({ extensions: point(der.implicit(3, Uint8Array.of(7, 0x80))) }),
      reason: 'unsupported_crl',
    },
    {
      name: 'one distribution point',
      bytes: assemble({
        extensions: point(
          der.explicit(0, der.explicit(0, der.implicit(6, Buffer.from('http://a/')))),
        ),
      }),
      reason: 'unsupported_crl',
    },
    {
      name: 'attribute certificates',
      bytes: assemble({ extensions: point(der.implicit(5, yes)) }),
      reason: 'unsupported_crl',
    },
    {
      name: 'an entry of another issuer',
      bytes: assemble({
        entryExtensions: [
          encodeExtension(
            '2.5.29.29',
            true,
            der.sequence(der.explicit(4, encodeName({ commonName: 'x' }))),
          ),
        ],
      }),
      reason: 'unsupported_crl',
    },
    {
      name: 'a removal from a delta',
      bytes: assemble({ entryExtensions: reason(der.enumerated(8)) }),
      reason: 'malformed_crl',
    },
    {
      name: 'a reason of two bytes',
      bytes: assemble({ entryExtensions: reason(element(Tag.enumerated, Uint8Array.of(0, 1))) }),
      reason: 'malformed_crl',
    },
    {
      name: 'something behind the extensions',
      bytes: assemble({ tail: [der.integer(1)] }),
      reason: 'malformed_crl',
    },
    { name: 'nothing', bytes: new Uint8Array(), reason: 'malformed_crl' },
    { name: 'too much', bytes: new Uint8Array(33 * 1024 * 1024), reason: 'malformed_crl' },
  ];
  for (const { name, bytes, reason: expected } of refused) {
    it(`refuse ${name}`, () => {
      expect(() => parseCrl(bytes))
        .to.throw(CertificateError)
        .with.property('reason', expected);
    });
  }
});

describe('CrlSet in verifyChain (RFC 5280 §6.3)', () => {
  it('accepts what is on no CRL, until the next update', () => {
    const soon = new Date(testNow.getTime() + 60_000);
    const verified = verify([crlOf(intermediate, { nextUpdate: soon }), crlOf(root)], 'refuse');
    expect(verified.notAfter).to.deep.equal(soon);
  });

  const cases: {
    name: string;
    crls: () => readonly Uint8Array[];
    whenMissing?: 'accept' | 'refuse';
    reason: string | undefined;
  }[] = [
    {
      name: 'a revoked leaf',
      crls: () => [crlOf(intermediate, revokedLeaf)],
      reason: 'certificate_revoked',
    },
    {
      name: 'a revoked intermediate',
      crls: () => [
        crlOf(root, { revoked: [{ serialNumber: Uint8Array.of(77), revokedAt: testNow }] }),
      ],
      reason: 'certificate_revoked',
    },
    {
      name: 'a serial number another CA revoked',
      crls: () => [crlOf(root, revokedLeaf)],
      reason: undefined,
    },
    { name: 'a missing CRL, softly', crls: () => [], reason: undefined },
    {
      name: 'a missing CRL, strictly',
      crls: () => [crlOf(root)],
      whenMissing: 'refuse',
      reason: 'revocation_unknown',
    },
    {
      name: 'a CRL that ran out',
      crls: () => [crlOf(intermediate, { nextUpdate: new Date(testNow.getTime() - 1000) })],
      reason: 'revocation_unknown',
    },
    {
      name: 'a CRL from the future',
      crls: () => [crlOf(intermediate, { thisUpdate: new Date(testNow.getTime() + 1000) })],
      reason: 'revocation_unknown',
    },
    {
      name: 'a CRL somebody else signed in its name',
      crls: () => [crlOf(rawCa({ subject: 'intermediate' }))],
      reason: 'revocation_unknown',
    },
    {
      name: 'a forged CRL beside the good one',
      crls: () => [crlOf(rawCa({ subject: 'intermediate' })), crlOf(intermediate, revokedLeaf)],
      reason: 'certificate_revoked',
    },
  ];
  for (const { name, crls, whenMissing = 'accept', reason } of cases) {
    it(`${reason === undefined ? 'accepts' : 'refuses'} ${name}`, () => {
      const attempt = () => verify(crls(), whenMissing);
      if (reason === undefined) expect(attempt().path).to.have.length(3);
      else expect(attempt).to.throw(CertificateError).with.property('reason', reason);
    });
  }

  it('takes a CRL only from a CA that may sign CRLs (§6.3.3 (f))', () => {
    const keys = { publicKey: intermediate.publicKey, privateKey: intermediate.privateKey };
    const extensions = [basicConstraints({ isCa: true }), keyUsage(['keyCertSign'])];
    const mute = rawCa({ subject: 'intermediate', issuer: root, keys, extensions });
    const attempt = () =>
      verifyChain({
        certificates: [leaf.der, mute.der],
        anchors: createTrustAnchors([root.certificate]),
        now: testNow,
        purpose: 'server',
        crls: new CrlSet([parseCrl(crlOf(intermediate))], { whenMissing: 'accept' }),
      });
    expect(attempt).to.throw(CertificateError, /revoked is not known/);
  });

  it('tells sets apart by their digest', () => {
    const crl = parseCrl(crlOf(root));
    const digests = [
      new CrlSet([], { whenMissing: 'accept' }),
      new CrlSet([], { whenMissing: 'refuse' }),
      new CrlSet([crl], { whenMissing: 'accept' }),
    ].map(({ digest }) => Buffer.from(digest).toString('hex'));
    expect(new Set(digests).size).to.equal(3);
  });
});
