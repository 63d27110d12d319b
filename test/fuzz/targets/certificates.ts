import { createPrivateKey, createPublicKey } from 'node:crypto';
import {
  createCertificateRequest,
  parseCertificateRequest,
} from '../../../src/pki/certificate-request.ts';
import { CertificateError } from '../../../src/pki/certificate-error.ts';
import { describeCertificate, parseCertificate } from '../../../src/pki/certificate.ts';
import { CrlSet } from '../../../src/pki/crl-set.ts';
import { parseCrl } from '../../../src/pki/crl.ts';
import { parseOcspResponse } from '../../../src/pki/ocsp-response.ts';
import { stapleStatus } from '../../../src/pki/staple.ts';
import { issueOcspResponse, ocspGood, ocspRevoked } from '../../support/ocsp-response.ts';
import { DerError, DerReader, Tag } from '../../../src/pki/der.ts';
import { encodeName } from '../../../src/pki/distinguished-name.ts';
import { BerValue } from '../../../src/pki/forge.ts';
import { issueCrl } from '../../../src/pki/issue-crl.ts';
import { spiffeIdOf } from '../../../src/pki/spiffe-id.ts';
import { createTrustAnchors } from '../../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../../src/pki/verify-chain.ts';
import type { KeyPair } from '../../../src/crypto/key-generation.ts';
import {
  authorityKeyId,
  basicConstraints,
  rawCa,
  rawLeaf,
  subjectAltNames,
  subjectKeyId,
  testNow,
} from '../../support/raw-certificate.ts';
import { derMutator } from '../der-mutator.ts';
import { byteMutator, either } from '../mutator.ts';
import { broken, isA, kindOf, mustEqual, valueOrError, type Target } from '../target.ts';

/** Any bytes as DER and as BER. */
export const der: Target = {
  name: 'der',
  seeds: () => [leaf.der, intermediate.der, crl(), fromHex('2480040101040102 0000')],
  mutate: either(byteMutator(), derMutator),
  check(input) {
    const walked = valueOrError(() => {
      walk(input);
    }, isDerError);
    const berRead = valueOrError(() => BerValue.parse(input).toDer(), isDerError);
    const ber = 'error' in berRead ? kindOf(berRead.error) : 'BER';
    return `${'error' in walked ? kindOf(walked.error) : 'DER'}, ${ber}`;
  },
};

export const certificates: Target = {
  name: 'certificates',
  seeds: () => [leaf.der, intermediate.der, root.der],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const outcome = valueOrError(() => {
      const parsed = parseCertificate(input);
      const facts = [
        parsed.subjectAltNames,
        parsed.basicConstraints,
        parsed.keyUsage,
        parsed.extendedKeyUsage,
        parsed.nameConstraints,
        parsed.authorityKeyId,
        parsed.subjectKeyId,
        parsed.fingerprint,
        spiffeIdOf(parsed),
        describeCertificate(parsed),
        parsed.publicKey,
      ];
      return facts.length;
    }, isCertificateError);
    const verdict = valueOrError(() => verify(input), isCertificateError);
    if ('value' in verdict) {
      const known = [leaf.der, intermediate.der].some((one) => Buffer.compare(one, input) === 0);
      if (!known) broken('a changed certificate verifies');
    }
    return 'error' in outcome ? kindOf(outcome.error) : 'well formed';
  },
};

export const crls: Target = {
  name: 'crls',
  seeds: () => [crl()],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const outcome = valueOrError(() => parseCrl(input), isCertificateError);
    if ('error' in outcome) return kindOf(outcome.error);
    const set = valueOrError(() => {
      const crlSet = new CrlSet([outcome.value], { whenMissing: 'refuse' });
      return verifyChain({
        certificates: [leaf.der, intermediate.der],
        anchors,
        now: testNow,
        purpose: 'server',
        crls: crlSet,
      });
    }, isCertificateError);
    return `well formed ${'error' in set ? kindOf(set.error) : 'not revoked'}`;
  },
};

export const certificateRequests: Target = {
  name: 'certificate-requests',
  seeds: () => [request, emptyRequest],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const outcome = valueOrError(() => parseCertificateRequest(input), isCertificateError);
    if ('error' in outcome) return kindOf(outcome.error);
    const known = [request, emptyRequest].some((one) => Buffer.compare(one, input) === 0);
    if (!known) broken('a changed request proves possession');
    return 'possession proven';
  },
};

export const ocspResponses: Target = {
  name: 'ocsp-responses',
  seeds: () => [goodResponse, revokedResponse],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const status = stapleStatus({
      response: input,
      leaf: leaf.certificate,
      issuer: intermediate.certificate,
      now: testNow,
    });
    if (status.tag === 'unusable') return status.problem.replaceAll(/\d+/gu, '#');
    // Certificates that come along are not signed: what is may not have changed.
    const known = status.tag === 'good' ? goodResponse : revokedResponse;
    const [said, signed] = [input, known].map((each) => parseOcspResponse(each).tbs);
    mustEqual('a changed response is believed', said ?? noBytes, signed ?? input);
    return status.tag;
  },
};

/** All elements of a value, at any depth, without recursion. */
function walk(input: Uint8Array): void {
  const whole = new DerReader(input);
  whole.skip();
  whole.end();
  const open = [new DerReader(input)];
  for (let reader = open.pop(); reader !== undefined; reader = open.pop()) {
    while (!reader.done) {
      const { tag, content } = reader.any();
      valueOrError(() => typed(tag, content), isDerError);
      if ((tag & 0x20) !== 0) open.push(new DerReader(content));
    }
  }
}

function typed(tag: number, content: Uint8Array): unknown {
  const length = Math.min(content.length, 100);
  const reader = new DerReader(Uint8Array.of(tag, length, ...content.subarray(0, length)));
  switch (tag) {
    case Tag.boolean:
      return reader.boolean();
    case Tag.integer:
      return reader.smallInteger();
    case Tag.bitString:
      return reader.namedBits();
    case Tag.objectIdentifier:
      return reader.objectIdentifier();
    case Tag.utcTime:
    case Tag.generalizedTime:
      return reader.time();
    default:
      return undefined;
  }
}

function verify(changed: Uint8Array): unknown {
  return verifyChain({
    certificates: [changed, intermediate.der],
    anchors,
    now: testNow,
    purpose: 'server',
  });
}

function crl(): Uint8Array {
  return issueCrl({
    issuer: intermediate,
    crlNumber: 7n,
    thisUpdate: new Date(testNow.getTime() - 3_600_000),
    nextUpdate: new Date(testNow.getTime() + 3_600_000),
    revoked: [
      { serialNumber: Uint8Array.of(5), revokedAt: testNow, reason: 'keyCompromise' },
      { serialNumber: Uint8Array.of(0, 0xf0, 9), revokedAt: testNow },
    ],
  });
}

function fromHex(hex: string): Uint8Array {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

const isDerError = isA(DerError);
const isCertificateError = isA(CertificateError);

/** The same in every process, and so is what it signs: a kept input stays what it was. */
function fixedKeys(number: number): KeyPair {
  const seed = Buffer.alloc(32, number);
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const key = Buffer.concat([prefix, seed]);
  const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

const root = rawCa({ subject: 'root', keys: fixedKeys(1) });
const intermediate = rawCa({
  subject: encodeName({ commonName: 'intermediate', organization: 'Ünited' }),
  issuer: root,
  pathLength: 0,
  keys: fixedKeys(2),
});
const leaf = rawLeaf(intermediate, {
  keys: fixedKeys(3),
  serialNumber: Uint8Array.of(0x70, 9),
  extensions: [basicConstraints({})],
  more: [
    subjectAltNames({
      dnsNames: ['leaf.test', '*.wild.test'],
      uris: ['spiffe://domain.test/workload'],
      ipAddresses: [Uint8Array.of(10, 0, 0, 1)],
    }),
    authorityKeyId(intermediate),
    subjectKeyId(intermediate),
  ],
});
const anchors = createTrustAnchors([root.certificate]);
const request = createCertificateRequest({
  ...fixedKeys(4),
  subject: encodeName({ commonName: 'wish' }),
  subjectAltNames: { dnsNames: ['a.test'], uris: ['spiffe://d.test/x'] },
});
const emptyRequest = createCertificateRequest(fixedKeys(5));

function respond(status: Uint8Array): Uint8Array {
  return issueOcspResponse({
    responder: intermediate,
    answers: [
      {
        leaf: leaf.certificate,
        issuer: intermediate.certificate,
        thisUpdate: new Date(testNow.getTime() - 3_600_000),
        nextUpdate: new Date(testNow.getTime() + 3_600_000),
        status,
      },
    ],
    producedAt: testNow,
    certificates: [intermediate.der],
  });
}

const goodResponse = respond(ocspGood);
const revokedResponse = respond(ocspRevoked(testNow, 1));
const noBytes = new Uint8Array(0);
