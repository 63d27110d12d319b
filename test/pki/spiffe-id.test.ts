import { expect } from 'chai';
import type { KeyUsage } from '../../src/pki/extensions.ts';
import {
  hasWorkloadId,
  isTrustDomain,
  parseSpiffeId,
  spiffeIdOf,
} from '../../src/pki/spiffe-id.ts';
import {
  basicConstraints,
  keyUsage,
  rawCa,
  rawLeaf,
  subjectAltNames,
} from '../support/raw-certificate.ts';

describe('parseSpiffeId (SPIFFE-ID §2)', () => {
  const good: { text: string; trustDomain: string; path: string }[] = [
    { text: 'spiffe://d.test', trustDomain: 'd.test', path: '' },
    { text: 'spiffe://d.test/agent/9f', trustDomain: 'd.test', path: '/agent/9f' },
    { text: 'spiffe://a_b-c.9/X.y_z-0', trustDomain: 'a_b-c.9', path: '/X.y_z-0' },
    { text: 'spiffe://d/...', trustDomain: 'd', path: '/...' },
    { text: `spiffe://${'d'.repeat(255)}/a`, trustDomain: 'd'.repeat(255), path: '/a' },
  ];
  for (const { text, trustDomain, path } of good) {
    it(`reads ${text.slice(0, 40)}`, () => {
      expect(parseSpiffeId(text)).to.deep.equal({ text, trustDomain, path });
    });
  }

  const bad: { name: string; text: string }[] = [
    { name: 'nothing', text: '' },
    { name: 'another scheme', text: 'https://d.test/a' },
    { name: 'a scheme in capitals', text: 'SPIFFE://d.test/a' },
    { name: 'no authority', text: 'spiffe:/d.test/a' },
    { name: 'an empty trust domain', text: 'spiffe:///a' },
    { name: 'a trust domain in capitals', text: 'spiffe://D.test/a' },
    { name: 'a trust domain of 256 bytes', text: `spiffe://${'d'.repeat(256)}/a` },
    { name: 'a user', text: 'spiffe://me@d.test/a' },
    { name: 'a port', text: 'spiffe://d.test:443/a' },
    { name: 'a trailing slash', text: 'spiffe://d.test/a/' },
    { name: 'a slash alone', text: 'spiffe://d.test/' },
    { name: 'an empty segment', text: 'spiffe://d.test/a//b' },
    { name: 'a dot segment', text: 'spiffe://d.test/a/./b' },
    { name: 'a double dot segment', text: 'spiffe://d.test/a/..' },
    { name: 'a percent sign', text: 'spiffe://d.test/%61' },
    { name: 'a query', text: 'spiffe://d.test/a?b' },
    { name: 'a fragment', text: 'spiffe://d.test/a#b' },
    { name: 'a space', text: 'spiffe://d.test/a b' },
    { name: 'a newline at the end', text: 'spiffe://d.test/a\n' },
    { name: 'a letter that is not ASCII', text: 'spiffe://d.test/ä' },
    { name: 'more than 2048 bytes', text: `spiffe://d.test/${'a'.repeat(2048)}` },
  ];
  for (const { name, text } of bad) {
    it(`refuses ${name}`, () => {
      expect(parseSpiffeId(text)).to.equal(undefined);
    });
  }

  it('tells a trust domain by its letters', () => {
    expect(isTrustDomain('d.test')).to.be.true;
    expect(isTrustDomain('d/test')).to.be.false;
    expect(isTrustDomain('')).to.be.false;
  });
});

describe('spiffeIdOf (X509-SVID §2, §4, §5)', () => {
  const ca = rawCa();
  const id = 'spiffe://d.test/agent/1';
  const leaf = (
    uris: readonly string[],
    usage: readonly KeyUsage[] = ['digitalSignature'],
    isCa = false,
  ) =>
    rawLeaf(ca, {
      extensions: [
        basicConstraints({ isCa }),
        ...(usage.length > 0 ? [keyUsage(usage)] : []),
        subjectAltNames({ uris, dnsNames: ['a.test'] }),
      ],
    }).certificate;

  it('answers the one URI', () => {
    expect(spiffeIdOf(leaf([id]))).to.equal(id);
    expect(spiffeIdOf(leaf([id], ['digitalSignature', 'keyEncipherment']))).to.equal(id);
  });

  const none: { name: string; certificate: ReturnType<typeof leaf> }[] = [
    { name: 'no URI', certificate: leaf([]) },
    { name: 'two URIs', certificate: leaf([id, 'https://a.test/']) },
    { name: 'another URI', certificate: leaf(['https://a.test/']) },
    { name: 'the ID of a trust domain', certificate: leaf(['spiffe://d.test']) },
    { name: 'a CA', certificate: leaf([id], ['digitalSignature'], true) },
    { name: 'no key usage', certificate: leaf([id], []) },
    { name: 'no digitalSignature', certificate: leaf([id], ['keyEncipherment']) },
    { name: 'keyCertSign', certificate: leaf([id], ['digitalSignature', 'keyCertSign']) },
    { name: 'cRLSign', certificate: leaf([id], ['digitalSignature', 'cRLSign']) },
  ];
  for (const { name, certificate } of none) {
    it(`answers nothing for ${name}`, () => {
      expect(spiffeIdOf(certificate)).to.equal(undefined);
    });
  }

  it('finds IDs of workloads in signing certificates', () => {
    const signer = (uri: string) => rawCa({ more: [subjectAltNames({ uris: [uri] })] }).certificate;
    expect(hasWorkloadId(signer('spiffe://d.test'))).to.be.false;
    expect(hasWorkloadId(signer('https://d.test/x'))).to.be.false;
    expect(hasWorkloadId(signer('spiffe://d.test/x'))).to.be.true;
    expect(hasWorkloadId(signer('spiffe://d.test/'))).to.be.true;
  });
});
