import { expect } from 'chai';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { checkStaple, stapleStatus } from '../../src/pki/staple.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';
import {
  issueOcspResponse,
  mustStapleExtension,
  type OcspAnswer,
  ocspGood,
  ocspRevoked,
  type OcspTemplate,
  ocspUnknown,
} from '../support/ocsp-response.ts';
import {
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  rawCa,
  rawCertificate,
  type RawIssued,
  rawLeaf,
  type RawOptions,
  testNow,
} from '../support/raw-certificate.ts';

const HOUR = 3_600_000;
const after = (ms: number): Date => new Date(testNow.getTime() + ms);

const ca = rawCa({ subject: 'issuer' });
const leaf = rawLeaf(ca, { serialNumber: Uint8Array.of(0xf0, 9) });
const sibling = rawLeaf(ca, { serialNumber: Uint8Array.of(0xf0, 10) });
const mustStaple = rawLeaf(ca, {
  serialNumber: Uint8Array.of(0xf0, 11),
  more: [mustStapleExtension()],
});
/** Of the same name, with another key. */
const impostor = rawCa({ subject: 'issuer' });
const root = rawCa({ subject: 'root' });

const responderExtensions = [
  basicConstraints({}),
  keyUsage(['digitalSignature']),
  extendedKeyUsage(['ocspSigning']),
];

function responderOf(issuer: RawIssued, options: RawOptions = {}): RawIssued {
  return rawCertificate({
    subject: 'responder',
    issuer,
    extensions: responderExtensions,
    ...options,
  });
}

const responder = responderOf(ca);

function answerFor(about: RawIssued, changes: Partial<OcspAnswer> = {}): OcspAnswer {
  return {
    leaf: about.certificate,
    issuer: ca.certificate,
    thisUpdate: after(-HOUR),
    nextUpdate: after(HOUR),
    ...changes,
  };
}

function issue(
  answers: readonly OcspAnswer[] = [answerFor(leaf)],
  changes: Partial<OcspTemplate> = {},
): Uint8Array {
  return issueOcspResponse({ responder: ca, answers, producedAt: testNow, ...changes });
}

function by(signer: RawIssued, ...sent: readonly RawIssued[]): Uint8Array {
  return issue(undefined, { responder: signer, certificates: sent.map(({ der }) => der) });
}

function statusOf(response: Uint8Array | undefined, about = leaf, issuer = ca): string {
  const { certificate } = about;
  const options = { response, leaf: certificate, issuer: issuer.certificate, now: testNow };
  return stapleStatus(options).tag;
}

function refusal(response: Uint8Array | undefined, about: RawIssued): CertificateError | undefined {
  try {
    const { certificate } = about;
    checkStaple({ response, leaf: certificate, issuer: ca.certificate, now: testNow });
    return undefined;
  } catch (error) {
    if (error instanceof CertificateError) return error;
    throw error;
  }
}

describe('stapleStatus: whom a response is about (RFC 6960 §4.1.1)', () => {
  const rows: readonly (readonly [string, readonly OcspAnswer[], string])[] = [
    ['the leaf, named with SHA-1', [answerFor(leaf)], 'good'],
    ['the leaf, named with SHA-256', [answerFor(leaf, { hash: 'sha256' })], 'good'],
    ['the leaf, named with SHA-384', [answerFor(leaf, { hash: 'sha384' })], 'unusable'],
    ['a leaf of another number', [answerFor(sibling)], 'unusable'],
    [
      'the number of the leaf under another key',
      [answerFor(leaf, { issuer: impostor.certificate })],
      'unusable',
    ],
    [
      'the number of the leaf under another name',
      [answerFor(leaf, { issuer: rawCa({ subject: 'other', keys: ca }).certificate })],
      'unusable',
    ],
    ['nobody', [], 'unusable'],
    [
      'the leaf among others',
      [answerFor(sibling, { status: ocspRevoked(testNow) }), answerFor(leaf)],
      'good',
    ],
    [
      'another that is good and the leaf that is not',
      [answerFor(sibling), answerFor(leaf, { status: ocspRevoked(testNow) })],
      'revoked',
    ],
    [
      'the leaf twice, good and revoked',
      [answerFor(leaf), answerFor(leaf, { status: ocspRevoked(testNow) })],
      'revoked',
    ],
    [
      'the leaf twice, unknown and good',
      [answerFor(leaf, { status: ocspUnknown }), answerFor(leaf)],
      'good',
    ],
  ];
  for (const [name, answers, status] of rows) {
    it(`is ${status} for one about ${name}`, () => {
      expect(statusOf(issue(answers))).to.equal(status);
    });
  }
});

describe('stapleStatus: what it says and when (RFC 6960 §3.2, §4.2.2.1)', () => {
  const endless = {
    leaf: leaf.certificate,
    issuer: ca.certificate,
    thisUpdate: after(-HOUR),
  };
  const rows: readonly (readonly [string, OcspAnswer, string])[] = [
    ['good', answerFor(leaf, { status: ocspGood }), 'good'],
    ['revoked', answerFor(leaf, { status: ocspRevoked(after(-HOUR), 1) }), 'revoked'],
    ['on hold', answerFor(leaf, { status: ocspRevoked(after(-HOUR), 6) }), 'revoked'],
    ['unknown', answerFor(leaf, { status: ocspUnknown }), 'unusable'],
    ['good from this second on', answerFor(leaf, { thisUpdate: testNow }), 'good'],
    ['good from the next second on', answerFor(leaf, { thisUpdate: after(1000) }), 'unusable'],
    ['good until this second', answerFor(leaf, { nextUpdate: testNow }), 'good'],
    ['good until a second ago', answerFor(leaf, { nextUpdate: after(-1000) }), 'unusable'],
    ['good without an end', endless, 'unusable'],
    [
      'revoked in a response that is over',
      answerFor(leaf, { nextUpdate: after(-1000), status: ocspRevoked(after(-HOUR)) }),
      'unusable',
    ],
  ];
  for (const [name, answer, status] of rows) {
    it(`is ${status} for ${name}`, () => {
      expect(statusOf(issue([answer]))).to.equal(status);
    });
  }
});

describe('stapleStatus: who says it (RFC 6960 §4.2.2.2)', () => {
  const flip = (signature: Uint8Array): Uint8Array => {
    const changed = Uint8Array.from(signature);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    return changed;
  };
  const rows: readonly (readonly [string, () => Uint8Array, string])[] = [
    ['the issuer, by name', () => by(ca), 'good'],
    ['the issuer, by key', () => issue(undefined, { responderId: 'byKey' }), 'good'],
    ['the issuer, with its certificate', () => by(ca, ca), 'good'],
    [
      'the issuer, changed on the way',
      () => issue(undefined, { changeSignature: flip }),
      'unusable',
    ],
    [
      'no signature',
      () => issue(undefined, { changeSignature: () => new Uint8Array(0) }),
      'unusable',
    ],
    ['somebody of the same name', () => by(impostor), 'unusable'],
    ['somebody of the same name, who sends that', () => by(impostor, impostor), 'unusable'],
    ['the root above the issuer', () => by(root, root), 'unusable'],
    ['the leaf itself', () => by(leaf, leaf), 'unusable'],
    ['a delegate of the issuer', () => by(responder, responder), 'good'],
    [
      'a delegate of the issuer, by key',
      () => issue(undefined, { responder, responderId: 'byKey', certificates: [responder.der] }),
      'good',
    ],
    ['a delegate among others', () => by(responder, root, responder, ca), 'good'],
    ['a delegate that sends no certificate', () => by(responder), 'unusable'],
    ['a delegate that sends that of another', () => by(responder, responderOf(ca)), 'unusable'],
    [
      'a delegate without key usage',
      () => delegate(ca, { extensions: [extendedKeyUsage(['ocspSigning'])] }),
      'good',
    ],
    [
      'a delegate that may not sign',
      () =>
        delegate(ca, {
          extensions: [keyUsage(['keyAgreement']), extendedKeyUsage(['ocspSigning'])],
        }),
      'unusable',
    ],
    [
      'one the issuer made for something else',
      () => delegate(ca, { extensions: [extendedKeyUsage(['serverAuth'])] }),
      'unusable',
    ],
    [
      'one the issuer made for anything',
      () => delegate(ca, { extensions: [extendedKeyUsage(['anyExtendedKeyUsage'])] }),
      'unusable',
    ],
    ['one the issuer made for nothing', () => delegate(ca, { extensions: [] }), 'unusable'],
    ['a delegate of the root', () => delegate(root), 'unusable'],
    ['a delegate of somebody of the same name', () => delegate(impostor), 'unusable'],
    ['a delegate of a delegate', () => delegate(responder), 'unusable'],
    ['a delegate that is over', () => delegate(ca, { notAfter: after(-1000) }), 'unusable'],
    ['a delegate of tomorrow', () => delegate(ca, { notBefore: after(1000) }), 'unusable'],
    [
      'a delegate with an unknown critical extension',
      () => delegate(ca, { more: [mustStapleExtension([5], true)] }),
      'unusable',
    ],
    [
      'a delegate and a certificate that is none',
      () => issue(undefined, { responder, certificates: [Uint8Array.of(0x30, 0), responder.der] }),
      'unusable',
    ],
  ];
  function delegate(issuer: RawIssued, options: RawOptions = {}): Uint8Array {
    const made = responderOf(issuer, options);
    return by(made, made);
  }
  for (const [name, make, status] of rows) {
    it(`is ${status} for ${name}`, () => {
      expect(statusOf(make())).to.equal(status);
    });
  }

  for (const keyKind of ['ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] satisfies KeyKind[]) {
    it(`verifies signatures of ${keyKind}`, () => {
      const made = responderOf(ca, { keyKind });
      expect(statusOf(by(made, made))).to.equal('good');
      expect(
        statusOf(
          issue(undefined, { responder: made, certificates: [made.der], changeSignature: flip }),
        ),
      ).to.equal('unusable');
    });
  }

  it('is unusable for any bit of the signed part changed', () => {
    const good = issue();
    for (let index = 40; index < good.length; index += 1) {
      const bytes = Uint8Array.from(good);
      bytes[index] = (bytes[index] ?? 0) ^ 0x01;
      expect(statusOf(bytes), `byte ${String(index)}`).to.equal('unusable');
    }
  });
});

describe('checkStaple (RFC 6066 §8, RFC 6960 §3.2)', () => {
  it('takes a leaf that is good, and one nothing usable was said about', () => {
    expect(refusal(issue(), leaf)).to.equal(undefined);
    expect(refusal(undefined, leaf)).to.equal(undefined);
    expect(refusal(Uint8Array.of(0x30, 3, 10, 1, 3), leaf)).to.equal(undefined);
    expect(refusal(issue([answerFor(sibling)]), leaf)).to.equal(undefined);
  });

  it('refuses one that is revoked', () => {
    const status = ocspRevoked(new Date('2030-06-01T00:00:00Z'), 1);
    const error = refusal(issue([answerFor(leaf, { status })]), leaf);
    expect(error).to.include({ alert: 'certificate_revoked', reason: 'certificate_revoked' });
    expect(error?.message).to.match(/was revoked at 2030-06-01T00:00:00.000Z \(keyCompromise\)$/);
  });
});

describe('checkStaple of a certificate that promises a staple (RFC 7633 §4.2.3)', () => {
  const about = (changes: Partial<OcspAnswer> = {}) => issue([answerFor(mustStaple, changes)]);
  for (const [name, response] of [
    ['none', undefined],
    ['one that is malformed', Uint8Array.of(0x30)],
    ['the error tryLater', Uint8Array.of(0x30, 3, 10, 1, 3)],
    ['one about another', issue()],
    ['one that is over', about({ nextUpdate: after(-1000) })],
    ['one that says unknown', about({ status: ocspUnknown })],
    ['one of somebody else', issue([answerFor(mustStaple)], { responder: impostor })],
  ] as const) {
    it(`refuses it with ${name}`, () => {
      expect(refusal(response, mustStaple)).to.include({
        alert: 'bad_certificate_status_response',
        reason: 'must_staple_unmet',
      });
    });
  }

  it('takes it with one that is good', () => {
    expect(refusal(about(), mustStaple)).to.equal(undefined);
  });

  it('says that it is revoked, if it is', () => {
    const error = refusal(about({ status: ocspRevoked(testNow) }), mustStaple);
    expect(error).to.include({ alert: 'certificate_revoked' });
  });

  it('is one that lists status_request among its features', () => {
    const promises = (features: readonly number[]) =>
      rawLeaf(ca, { more: [mustStapleExtension(features)] }).certificate.mustStaple;
    expect([[5], [17], [17, 5], []].map(promises)).to.deep.equal([true, false, true, false]);
    expect(leaf.certificate.mustStaple).to.equal(false);
  });

  it('verifies as a chain, unless the promise is critical', () => {
    const verify = (critical: boolean) => {
      const made = rawLeaf(ca, { more: [mustStapleExtension([5], critical)] });
      const anchors = createTrustAnchors([ca.certificate]);
      verifyChain({ certificates: [made.der], anchors, now: testNow, purpose: 'server' });
    };
    expect(() => {
      verify(false);
    }).to.not.throw();
    expect(() => {
      verify(true);
    }).to.throw(CertificateError);
  });
});
