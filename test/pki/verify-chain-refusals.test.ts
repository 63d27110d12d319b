import { expect } from 'chai';
import { generateKeyPairSync, sign } from 'node:crypto';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import * as der from '../../src/pki/der-writer.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import { algorithmOfScheme } from '../../src/pki/signature-algorithm.ts';
import type { VerifyChainOptions } from '../../src/pki/verify-chain.ts';
import {
  authorityKeyId,
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  rawCa,
  rawCertificate,
  type RawIssued,
  rawLeaf,
  type RawOptions,
  signedAnew,
  subjectAltNames,
  subjectKeyId,
  testNow,
} from '../support/raw-certificate.ts';
import { refusal, verify } from './chain-attempt.ts';

const root = rawCa({ subject: 'root' });
const critical = (oid: string, value: Uint8Array = der.sequence()) =>
  encodeExtension(oid, true, value);
const dnsLeaf = [basicConstraints({}), keyUsage(['digitalSignature'])];
const san = subjectAltNames({ dnsNames: ['leaf.test'] });
const keysWithId = generateKeyPair('ecdsa-p256');
const weakKeys = generateKeyPairSync('rsa', { modulusLength: 1024 });
const ecdsa = (arc: string) => der.sequence(der.objectIdentifier(`1.2.840.10045.4.${arc}`));
const sha512Leaf = () =>
  signedAnew(rawLeaf(root), ecdsa('3.4'), (tbs) => sign('sha512', tbs, root.privateKey));
const seconds = (count: number) => new Date(testNow.getTime() + count * 1000);

describe('verifyChain: refusals (RFC 5280 §6.1.3, §6.1.4)', () => {
  interface Refusal {
    readonly name: string;
    readonly chain: () => readonly RawIssued[];
    readonly anchors?: () => readonly RawIssued[];
    readonly options?: Partial<VerifyChainOptions>;
    readonly alert: string;
    readonly reason: string;
  }

  const ca = (options: RawOptions & { readonly pathLength?: number } = {}) =>
    rawCa({ subject: 'intermediate', issuer: root, ...options });
  const leafOf =
    (extensions: readonly Uint8Array[], options: RawOptions = {}) =>
    () => [rawLeaf(root, { extensions, ...options })];
  const below = (intermediate: RawIssued) => () => [rawLeaf(intermediate), intermediate];

  const refusals: readonly Refusal[] = [
    { name: 'no certificate', chain: () => [], alert: 'bad_certificate', reason: 'no_certificate' },
    {
      name: 'more certificates than any chain has',
      chain: () => Array.from({ length: 65 }, () => root),
      alert: 'bad_certificate',
      reason: 'chain_too_long',
    },
    {
      name: 'a leaf of an unknown CA',
      chain: () => [rawLeaf(rawCa({ subject: 'stranger' }))],
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a leaf whose CA came along but is not trusted',
      chain: below(rawCa({ subject: 'stranger' })),
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a leaf that signed itself',
      chain: () => [rawCertificate({ extensions: [...dnsLeaf, san] })],
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a leaf that is itself in the bundle',
      chain: () => [rawLeaf(rawCa({ subject: 'stranger' }))],
      anchors: () => [rawLeaf(rawCa({ subject: 'stranger' }))],
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a CA of a trusted name with another key',
      chain: () => [rawLeaf(rawCa({ subject: 'root' }))],
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a forged signature under the key identifier of a trusted CA',
      chain: () => {
        const forger = rawCa({ subject: 'root with id' });
        return [rawLeaf(forger, { more: [authorityKeyId(identified)] })];
      },
      anchors: () => [identified],
      alert: 'bad_certificate',
      reason: 'bad_certificate_signature',
    },
    {
      name: 'an expired leaf',
      chain: () => [rawLeaf(root, { notAfter: seconds(-1) })],
      alert: 'certificate_expired',
      reason: 'peer_certificate_expired',
    },
    {
      name: 'a leaf from the future',
      chain: () => [rawLeaf(root, { notBefore: seconds(1) })],
      alert: 'certificate_expired',
      reason: 'peer_certificate_not_yet_valid',
    },
    {
      name: 'an expired intermediate',
      chain: below(ca({ notAfter: seconds(-1) })),
      alert: 'certificate_expired',
      reason: 'issuer_certificate_expired',
    },
    {
      name: 'an intermediate from the future',
      chain: below(ca({ notBefore: seconds(1) })),
      alert: 'certificate_expired',
      reason: 'issuer_certificate_not_yet_valid',
    },
    {
      name: 'a leaf that is a CA',
      chain: () => [ca({ more: [san] })],
      alert: 'bad_certificate',
      reason: 'peer_certificate_is_ca',
    },
    {
      name: 'a leaf that may sign certificates',
      chain: leafOf([keyUsage(['digitalSignature', 'keyCertSign']), san]),
      alert: 'bad_certificate',
      reason: 'peer_certificate_is_ca',
    },
    {
      name: 'a leaf that may not sign handshakes',
      chain: leafOf([keyUsage(['keyEncipherment']), san]),
      alert: 'unsupported_certificate',
      reason: 'wrong_key_usage',
    },
    {
      name: 'a server certificate that is for clients',
      chain: leafOf([...dnsLeaf, extendedKeyUsage(['clientAuth']), san]),
      alert: 'unsupported_certificate',
      reason: 'wrong_extended_key_usage',
    },
    {
      name: 'a client certificate that is for servers',
      chain: leafOf([...dnsLeaf, extendedKeyUsage(['serverAuth']), san]),
      options: { purpose: 'client' },
      alert: 'unsupported_certificate',
      reason: 'wrong_extended_key_usage',
    },
    {
      name: 'a certificate for any purpose',
      chain: leafOf([...dnsLeaf, extendedKeyUsage(['anyExtendedKeyUsage']), san]),
      alert: 'unsupported_certificate',
      reason: 'wrong_extended_key_usage',
    },
    {
      name: 'a certificate for no stated purpose, if one is required',
      chain: leafOf([...dnsLeaf, san]),
      options: { requireExtendedKeyUsage: true },
      alert: 'unsupported_certificate',
      reason: 'wrong_extended_key_usage',
    },
    {
      name: 'an intermediate whose purposes do not include the leaf’s',
      chain: below(ca({ more: [extendedKeyUsage(['clientAuth'])] })),
      alert: 'unsupported_certificate',
      reason: 'wrong_extended_key_usage',
    },
    {
      name: 'a leaf without alternative names, whatever its common name',
      chain: leafOf(dnsLeaf, { subject: 'leaf.test' }),
      alert: 'bad_certificate',
      reason: 'missing_subject_alt_name',
    },
    {
      name: 'alternative names that are not critical under an empty subject',
      chain: leafOf([...dnsLeaf, san], { subject: encodeName({}) }),
      alert: 'bad_certificate',
      reason: 'malformed_certificate',
    },
    {
      name: 'a leaf with name constraints',
      chain: leafOf([...dnsLeaf, san, nameConstraintExtension()]),
      alert: 'bad_certificate',
      reason: 'malformed_certificate',
    },
    {
      name: 'a leaf without an issuer',
      chain: leafOf([...dnsLeaf, san], { issuerName: encodeName({}) }),
      alert: 'bad_certificate',
      reason: 'malformed_certificate',
    },
    {
      name: 'a serial number of 21 bytes',
      chain: leafOf([...dnsLeaf, san], { serialNumber: new Uint8Array(20).fill(0xff) }),
      alert: 'bad_certificate',
      reason: 'malformed_certificate',
    },
    {
      name: 'an unknown critical extension in the leaf',
      chain: leafOf([...dnsLeaf, san, critical('1.2.3.4')]),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'an unknown critical extension in an intermediate',
      chain: below(ca({ more: [critical('1.2.3.4')] })),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'an unknown critical extension in an anchor',
      chain: () => [rawLeaf(oddAnchor)],
      anchors: () => [oddAnchor],
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'policy constraints, critical or not',
      chain: below(ca({ more: [encodeExtension('2.5.29.36', false, der.sequence())] })),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'critical policy mappings',
      chain: below(ca({ more: [critical('2.5.29.33')] })),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'a critical inhibit-any-policy',
      chain: below(ca({ more: [critical('2.5.29.54', der.integer(0))] })),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'a critical subject key identifier',
      chain: below(ca({ more: [critical('2.5.29.14', der.octetString(Uint8Array.of(1)))] })),
      alert: 'bad_certificate',
      reason: 'unhandled_critical_extension',
    },
    {
      name: 'an issuer without basic constraints',
      chain: below(ca({ extensions: [keyUsage(['keyCertSign'])] })),
      alert: 'bad_certificate',
      reason: 'issuer_is_not_ca',
    },
    {
      name: 'an issuer that is a leaf',
      chain: below(rawLeaf(root, { subject: 'intermediate' })),
      alert: 'bad_certificate',
      reason: 'issuer_is_not_ca',
    },
    {
      name: 'an issuer whose basic constraints are not critical',
      chain: below(ca({ extensions: [basicConstraints({ isCa: true, critical: false })] })),
      alert: 'bad_certificate',
      reason: 'issuer_is_not_ca',
    },
    {
      name: 'an issuer without any extension',
      chain: below(ca({ extensions: [] })),
      alert: 'bad_certificate',
      reason: 'issuer_is_not_ca',
    },
    {
      name: 'an issuer that may sign CRLs only',
      chain: below(ca({ extensions: [basicConstraints({ isCa: true }), keyUsage(['cRLSign'])] })),
      alert: 'bad_certificate',
      reason: 'issuer_may_not_sign',
    },
    {
      name: 'an issuer with the identity of a workload (X509-SVID §2)',
      chain: below(ca({ more: [subjectAltNames({ uris: ['spiffe://d.test/agent'] })] })),
      alert: 'bad_certificate',
      reason: 'issuer_has_workload_id',
    },
    {
      name: 'two intermediates below a path length of 0',
      chain: () => {
        const upper = ca({ subject: 'upper', pathLength: 0 });
        const under = rawCa({ subject: 'under', issuer: upper });
        return [rawLeaf(under), under, upper];
      },
      alert: 'bad_certificate',
      reason: 'path_length_exceeded',
    },
    {
      name: 'an intermediate below an anchor of path length 0',
      chain: () => {
        const under = rawCa({ subject: 'under', issuer: shortAnchor });
        return [rawLeaf(under), under];
      },
      anchors: () => [shortAnchor],
      alert: 'bad_certificate',
      reason: 'path_length_exceeded',
    },
    {
      name: 'seven intermediates',
      chain: () => longChain(7),
      alert: 'bad_certificate',
      reason: 'chain_too_long',
    },
    {
      name: 'a signature scheme that was not offered',
      chain: leafOf([...dnsLeaf, san], { scheme: 0x0503 }),
      options: { allowedSchemes: [0x0403, 0x0804] },
      alert: 'unsupported_certificate',
      reason: 'unsupported_signature_algorithm',
    },
    {
      name: 'a signature by SHA-1',
      chain: () => [
        signedAnew(rawLeaf(root), ecdsa('1'), (tbs) => sign('sha1', tbs, root.privateKey)),
      ],
      alert: 'unsupported_certificate',
      reason: 'unsupported_signature_algorithm',
    },
    {
      name: 'a signature by SHA-512 that was not offered',
      chain: () => [sha512Leaf()],
      options: { allowedSchemes: [0x0403, 0x0503] },
      alert: 'unsupported_certificate',
      reason: 'unsupported_signature_algorithm',
    },
    {
      name: 'a signature whose algorithm is not one of the issuer’s key',
      chain: () => [signedAnew(rawLeaf(root), algorithmOfScheme(0x0807), () => new Uint8Array(64))],
      alert: 'unknown_ca',
      reason: 'unknown_issuer',
    },
    {
      name: 'a leaf with a key on another curve',
      chain: () => [rawLeaf(root, { keys: generateKeyPairSync('ec', { namedCurve: 'P-521' }) })],
      alert: 'unsupported_certificate',
      reason: 'unsupported_public_key',
    },
    {
      name: 'a leaf with an RSA key of 1024 bits',
      chain: () => [rawLeaf(root, { keys: weakKeys })],
      alert: 'unsupported_certificate',
      reason: 'unsupported_public_key',
    },
    {
      name: 'an issuer with an RSA key of 1024 bits',
      chain: below(ca({ keys: weakKeys })),
      alert: 'unsupported_certificate',
      reason: 'unsupported_public_key',
    },
    {
      name: 'a malformed name beside good ones',
      chain: leafOf([...dnsLeaf, subjectAltNames({ dnsNames: ['a.test', 'a_b.test'] })]),
      alert: 'bad_certificate',
      reason: 'malformed_certificate',
    },
    {
      name: 'an anchor that expired',
      chain: () => [rawLeaf(expiredAnchor)],
      anchors: () => [expiredAnchor],
      alert: 'certificate_expired',
      reason: 'issuer_certificate_expired',
    },
  ];

  const identified = rawCa({
    subject: 'root with id',
    keys: keysWithId,
    more: [subjectKeyId(keysWithId)],
  });
  const oddAnchor = rawCa({ subject: 'odd', more: [critical('1.2.3.4')] });
  const shortAnchor = rawCa({ subject: 'short', pathLength: 0 });
  const expiredAnchor = rawCa({ subject: 'old', notAfter: seconds(-1) });

  it('takes ECDSA with SHA-512, which TLS has no name for', () => {
    expect(verify([sha512Leaf()], [root]).leaf.signatureScheme).to.equal(0x0603);
    const forged = signedAnew(rawLeaf(root), ecdsa('3.4'), () => Uint8Array.of(0x30, 0));
    expect(() => verify([forged], [root])).to.throw(CertificateError);
  });

  for (const { name, chain, anchors, options, alert, reason } of refusals) {
    it(`refuses ${name}`, () => {
      const error = refusal(() => verify(chain(), anchors?.() ?? [root], options));
      expect([error.alert, error.reason]).to.deep.equal([alert, reason], error.message);
    });
  }

  it('takes six intermediates, and self-issued ones besides', () => {
    expect(verify(longChain(6), [root]).path).to.have.length(8);
    const upper = ca({ subject: 'upper', pathLength: 0 });
    const again = rawCa({ subject: 'upper', issuer: upper });
    expect(verify([rawLeaf(again), again, upper], [root]).path).to.have.length(4);
  });

  it('takes the first and the last second of a certificate (RFC 5280 §4.1.2.5)', () => {
    const exact = [rawLeaf(root, { notBefore: testNow, notAfter: testNow })];
    expect(verify(exact, [root]).path).to.have.length(2);
    const fraction = (milliseconds: number) => ({
      now: new Date(testNow.getTime() + milliseconds),
    });
    expect(verify(exact, [root], fraction(999)).path).to.have.length(2);
    expect(() => verify(exact, [root], fraction(1000))).to.throw(CertificateError, /expired at/);
    expect(() => verify(exact, [root], fraction(-1))).to.throw(
      CertificateError,
      /not valid before/,
    );
  });

  it('says whom, when and which rule, and nothing unprintable', () => {
    const late = rawLeaf(root, {
      subject: 'late\u0007one',
      notAfter: new Date('2030-06-15T11:00:00Z'),
    });
    const error = refusal(() => verify([late], [root]));
    expect(error.message).to.equal('CN=late?one expired at 2030-06-15T11:00:00.000Z');
  });

  function longChain(count: number): readonly RawIssued[] {
    const chain: RawIssued[] = [];
    let issuer = root;
    for (let index = 0; index < count; index += 1) {
      issuer = rawCa({ subject: `ca ${String(index)}`, issuer });
      chain.unshift(issuer);
    }
    return [rawLeaf(issuer), ...chain];
  }
});

function nameConstraintExtension(): Uint8Array {
  const base = der.implicit(2, Buffer.from('test'));
  return critical('2.5.29.30', der.sequence(der.explicit(0, der.sequence(base))));
}
