import { expect } from 'chai';
import fc from 'fast-check';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { parseCertificate } from '../../src/pki/certificate.ts';
import { parseCertificateRequest } from '../../src/pki/certificate-request.ts';
import { parseCrl } from '../../src/pki/crl.ts';
import * as der from '../../src/pki/der-writer.ts';
import { openPkcs12 } from '../../src/pki/pkcs12.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';
import { rawCa, rawLeaf, testNow } from '../support/raw-certificate.ts';

const parsers: { name: string; parse: (bytes: Uint8Array) => unknown }[] = [
  { name: 'parseCertificate', parse: parseCertificate },
  { name: 'parseCertificateRequest', parse: parseCertificateRequest },
  { name: 'parseCrl', parse: parseCrl },
  { name: 'openPkcs12', parse: (bytes) => openPkcs12(bytes, Buffer.from('x')) },
];

function valueOrRefusal(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
  }
}

/** Bytes that are DER in shape: trees of the tags parsers look for. */
const { tree } = fc.letrec<{ tree: Uint8Array }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 6 },
    fc
      .tuple(
        fc.constantFrom(0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x17, 0x80, 0x82),
        fc.uint8Array({ maxLength: 9 }),
      )
      .map(([tag, content]) => der.element(tag, content)),
    fc
      .tuple(fc.constantFrom(0x30, 0x31, 0xa0, 0xa3, 0x24), fc.array(tie('tree'), { maxLength: 7 }))
      .map(([tag, children]) => der.element(tag, ...children)),
  ),
}));

describe('parsers of any bytes: a value or a CertificateError', () => {
  for (const { name, parse } of parsers) {
    it(`${name} of random bytes`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
          valueOrRefusal(() => parse(bytes));
        }),
        { numRuns: 500 },
      );
    });

    it(`${name} of random DER`, () => {
      fc.assert(
        fc.property(tree, (bytes) => {
          valueOrRefusal(() => parse(bytes));
        }),
        { numRuns: 500 },
      );
    });

    it(`${name} of nesting as deep as it is long`, () => {
      const bytes = Buffer.from('3080'.repeat(8000), 'hex');
      expect(() => parse(bytes)).to.throw(CertificateError);
    });
  }
});

describe('verifyChain of damaged chains: refused (RFC 5280 §6.1.3)', () => {
  const root = rawCa({ subject: 'root' });
  const intermediate = rawCa({ subject: 'intermediate', issuer: root });
  const leaf = rawLeaf(intermediate);
  const anchors = createTrustAnchors([root.certificate]);
  const verify = (certificates: readonly Uint8Array[]) =>
    verifyChain({ certificates, anchors, now: testNow, purpose: 'server' });

  it('accepts the chain itself', () => {
    expect(verify([leaf.der, intermediate.der]).path).to.have.length(3);
  });

  it('refuses it when any byte of the leaf changes', () => {
    for (let index = 0; index < leaf.der.length; index += 1) {
      const changed = Uint8Array.from(leaf.der);
      changed[index] = (changed[index] ?? 0) ^ 0x04;
      expect(() => verify([changed, intermediate.der]), String(index)).to.throw(CertificateError);
    }
  });

  it('refuses it when any byte of the intermediate changes', () => {
    for (let index = 0; index < intermediate.der.length; index += 1) {
      const changed = Uint8Array.from(intermediate.der);
      changed[index] = (changed[index] ?? 0) ^ 0x80;
      expect(() => verify([leaf.der, changed]), String(index)).to.throw(CertificateError);
    }
  });

  it('refuses it cut anywhere', () => {
    for (let length = 0; length < leaf.der.length; length += 1) {
      expect(() => verify([leaf.der.subarray(0, length), intermediate.der])).to.throw(
        CertificateError,
      );
    }
  });
});
