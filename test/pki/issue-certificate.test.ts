import { expect } from 'chai';
import { createSecretKey, X509Certificate } from 'node:crypto';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { parseCertificate } from '../../src/pki/certificate.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import {
  assembleCertificate,
  type CertificateTemplate,
  exportPublicKeyInfo,
  generateSerialNumber,
  issueCertificate,
  keyIdentifier,
} from '../../src/pki/issue-certificate.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';

const now = new Date('2030-01-01T00:00:00Z');
const later = new Date('2031-01-01T00:00:00Z');
const validity = { notBefore: now, notAfter: later };
const keys = generateKeyPair('ecdsa-p256');

function makeCa(
  kind: Parameters<typeof generateKeyPair>[0],
  more: Partial<CertificateTemplate> = {},
) {
  const { publicKey, privateKey } = generateKeyPair(kind);
  const der = issueCertificate({
    subject: encodeName({ organization: 'Acme', commonName: `${kind} CA` }),
    publicKey,
    issuer: { privateKey },
    ...validity,
    isCa: true,
    ...more,
  });
  return { certificate: parseCertificate(der), privateKey };
}

describe('issueCertificate (RFC 5280 §4.2)', () => {
  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] as const) {
    it(`issues with a ${kind} key what node verifies`, () => {
      const ca = makeCa(kind);
      const leaf = issueCertificate({
        subjectAltNames: { uris: ['spiffe://d.test/agent/1'], dnsNames: ['a.test'] },
        publicKey: keys.publicKey,
        issuer: ca,
        ...validity,
        extendedKeyUsage: ['serverAuth', '1.2.3.4'],
      });
      const node = new X509Certificate(leaf);
      const nodeCa = new X509Certificate(ca.certificate.der);
      expect(node.verify(nodeCa.publicKey)).to.be.true;
      expect(node.checkIssued(nodeCa)).to.be.true;
      expect(nodeCa.verify(nodeCa.publicKey)).to.be.true;
      expect([node.ca, nodeCa.ca]).to.deep.equal([false, true]);
      expect(node.checkHost('a.test')).to.equal('a.test');
      expect(node.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1', '1.2.3.4']);
      expect(new Date(node.validTo)).to.deep.equal(later);
    });
  }

  it('writes all that the template says', () => {
    const ca = makeCa('ed25519', { pathLength: 1 });
    const limited = issueCertificate({
      subject: encodeName({ commonName: 'limited' }),
      publicKey: keys.publicKey,
      issuer: ca,
      serialNumber: Uint8Array.of(0xff, 1),
      ...validity,
      isCa: true,
      pathLength: 0,
      keyUsage: ['keyCertSign'],
      nameConstraints: {
        permitted: { dnsNames: ['test'], ipAddresses: [Uint8Array.of(10, 0, 0, 0, 255, 0, 0, 0)] },
        excluded: { uris: ['evil.test'] },
      },
    });
    const read = parseCertificate(limited);
    expect(Buffer.from(read.serialNumber).toString('hex')).to.equal('00ff01');
    expect(read.basicConstraints).to.deep.equal({ isCa: true, pathLength: 0, critical: true });
    expect(read.keyUsage).to.deep.equal(['keyCertSign']);
    expect(read.nameConstraints?.permitted?.dnsNames).to.deep.equal(['test']);
    expect(read.nameConstraints?.excluded?.uris).to.deep.equal(['evil.test']);
    expect(read.nameConstraints?.permitted?.uris).to.deep.equal([]);
    expect(read.authorityKeyId).to.deep.equal(ca.certificate.subjectKeyId);
    expect(read.subjectKeyId).to.deep.equal(keyIdentifier(exportPublicKeyInfo(keys.publicKey)));
    expect(read.subjectAltNames.dnsNames).to.deep.equal([]);
  });

  it('makes alternative names critical when they are the only names (§4.2.1.6)', () => {
    const base = {
      publicKey: keys.publicKey,
      issuer: keys,
      ...validity,
      subjectAltNames: { dnsNames: ['a'] },
    };
    expect(parseCertificate(issueCertificate(base)).extensions.subjectAltNamesCritical).to.be.true;
    const named = issueCertificate({ ...base, subject: encodeName({ commonName: 'x' }) });
    expect(parseCertificate(named).extensions.subjectAltNamesCritical).to.be.false;
  });

  it('leaves key usage out when told to', () => {
    const der = issueCertificate({
      subject: encodeName({ commonName: 'x' }),
      publicKey: keys.publicKey,
      issuer: keys,
      ...validity,
      keyUsage: [],
    });
    expect(parseCertificate(der).keyUsage).to.equal(undefined);
  });

  it('signs by the scheme asked for', () => {
    const ca = makeCa('rsa', { signatureScheme: 0x0806 });
    expect(ca.certificate.signatureScheme).to.equal(0x0806);
    const anchors = createTrustAnchors([ca.certificate]);
    const leaf = issueCertificate({
      publicKey: keys.publicKey,
      issuer: ca,
      ...validity,
      subjectAltNames: { dnsNames: ['a.test'] },
      signatureScheme: 0x0804,
    });
    expect(
      verifyChain({ certificates: [leaf], anchors, now, purpose: 'server' }).path,
    ).to.have.length(2);
  });

  const refused: { name: string; change: Partial<CertificateTemplate>; error: new () => Error }[] =
    [
      {
        name: 'an end before the beginning',
        change: { notAfter: new Date('2029-01-01T00:00:00Z') },
        error: RangeError,
      },
      { name: 'an invalid date', change: { notBefore: new Date(Number.NaN) }, error: RangeError },
      { name: 'no name at all', change: {}, error: RangeError },
      { name: 'an empty list of names', change: { subjectAltNames: {} }, error: RangeError },
      {
        name: 'a name with a space',
        change: { subjectAltNames: { dnsNames: ['a b'] } },
        error: RangeError,
      },
      {
        name: 'a name that is not ASCII',
        change: { subjectAltNames: { uris: ['spiffe://ä'] } },
        error: RangeError,
      },
      {
        name: 'an address of five bytes',
        change: { subjectAltNames: { ipAddresses: [new Uint8Array(5)] } },
        error: RangeError,
      },
      {
        name: 'names of other kinds',
        change: { subjectAltNames: { others: [{ kind: 0, content: new Uint8Array() }] } },
        error: RangeError,
      },
      { name: 'serial number 0', change: { serialNumber: Uint8Array.of(0, 0) }, error: RangeError },
      {
        name: 'a serial number of 21 bytes',
        change: { serialNumber: new Uint8Array(21).fill(1) },
        error: RangeError,
      },
      { name: 'a path length without CA', change: { pathLength: 1 }, error: RangeError },
      { name: 'name constraints without CA', change: { nameConstraints: {} }, error: RangeError },
      {
        name: 'an unknown purpose',
        change: { extendedKeyUsage: ['everything'] },
        error: RangeError,
      },
      { name: 'an unknown scheme', change: { signatureScheme: 0x0201 }, error: RangeError },
      {
        name: 'a scheme that does not fit the key',
        change: { signatureScheme: 0x0807 },
        error: TypeError,
      },
      {
        name: 'a private key as the public one',
        change: { publicKey: keys.privateKey },
        error: TypeError,
      },
      {
        name: 'a secret key',
        change: { publicKey: createSecretKey(Buffer.alloc(16)) },
        error: TypeError,
      },
    ];
  for (const { name, change, error } of refused) {
    it(`refuses ${name}`, () => {
      const names = name.includes('name') ? {} : { subjectAltNames: { dnsNames: ['a.test'] } };
      const template = {
        publicKey: keys.publicKey,
        issuer: keys,
        ...validity,
        ...names,
        ...change,
      };
      expect(() => issueCertificate(template)).to.throw(error);
    });
  }

  it('makes serial numbers that are positive, of one length and not repeated', () => {
    const serials = Array.from({ length: 50 }, generateSerialNumber);
    expect(serials.every((serial) => serial.length === 16 && (serial[0] ?? 0) >> 6 === 1)).to.be
      .true;
    expect(new Set(serials.map((serial) => Buffer.from(serial).toString('hex'))).size).to.equal(50);
  });

  it('assembles a certificate without extensions', () => {
    const name = encodeName({ commonName: 'bare' });
    const publicKeyInfo = exportPublicKeyInfo(keys.publicKey);
    const fields = {
      serialNumber: Uint8Array.of(1),
      issuer: name,
      subject: name,
      publicKeyInfo,
      ...validity,
    };
    const der = assembleCertificate({ ...fields, extensions: [] }, 0x0403, keys.privateKey);
    expect(parseCertificate(der).basicConstraints).to.equal(undefined);
  });
});
