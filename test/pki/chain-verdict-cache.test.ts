import { expect } from 'chai';
import { BoundedMap } from '../../src/pki/bounded-map.ts';
import { CertificateCache } from '../../src/pki/certificate-cache.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { ChainVerdictCache } from '../../src/pki/chain-verdict-cache.ts';
import { CrlSet } from '../../src/pki/crl-set.ts';
import { parseCrl } from '../../src/pki/crl.ts';
import { issueCrl } from '../../src/pki/issue-crl.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';
import { rawCa, rawLeaf, testNow } from '../support/raw-certificate.ts';

const HOUR = 3_600_000;
const root = rawCa({ subject: 'root' });
const intermediate = rawCa({ subject: 'intermediate', issuer: root });
const leaf = rawLeaf(intermediate, { notAfter: new Date(testNow.getTime() + 120_000) });
const anchors = createTrustAnchors([root.certificate]);
const certificates = [leaf.der, intermediate.der];
const query = { certificates, anchors, purpose: 'server' } as const;

function cacheAt(options: { maxAgeMs?: number; capacity?: number } = {}) {
  const clock = { now: testNow };
  const cache = new ChainVerdictCache({ now: () => clock.now, ...options });
  return {
    cache,
    advance: (milliseconds: number) => (clock.now = new Date(clock.now.getTime() + milliseconds)),
  };
}

describe('ChainVerdictCache', () => {
  it('answers the same verdict again, with the key imported once', () => {
    const { cache } = cacheAt();
    const first = cache.verify(query);
    const again = cache.verify({
      ...query,
      certificates: certificates.map((der) => Uint8Array.from(der)),
    });
    expect(again).to.equal(first);
    expect(again.leaf.publicKey).to.equal(first.leaf.publicKey);
    expect(cache.counters).to.deep.equal({ hits: 1, misses: 1, size: 1 });
  });

  const other = rawCa({ subject: 'other' });
  const crl = issueCrl({
    issuer: intermediate,
    crlNumber: 1n,
    thisUpdate: testNow,
    nextUpdate: new Date(testNow.getTime() + HOUR),
    revoked: [{ serialNumber: leaf.certificate.serialNumber, revokedAt: testNow }],
  });
  const different: {
    name: string;
    options: Parameters<ChainVerdictCache['verify']>[0];
    refused?: boolean;
  }[] = [
    { name: 'another purpose', options: { ...query, purpose: 'client' } },
    {
      name: 'other anchors',
      options: { ...query, anchors: createTrustAnchors([root.certificate, other.certificate]) },
    },
    { name: 'no anchors', options: { ...query, anchors: createTrustAnchors([]) }, refused: true },
    {
      name: 'another order',
      options: { ...query, certificates: [leaf.der, root.der, intermediate.der] },
    },
    { name: 'another chain', options: { ...query, certificates: [leaf.der] }, refused: true },
    { name: 'a list of schemes', options: { ...query, allowedSchemes: [0x0403] } },
    {
      name: 'a list without the scheme',
      options: { ...query, allowedSchemes: [0x0804] },
      refused: true,
    },
    { name: 'another policy', options: { ...query, requireExtendedKeyUsage: true } },
    {
      name: 'CRLs',
      options: { ...query, crls: new CrlSet([parseCrl(crl)], { whenMissing: 'accept' }) },
      refused: true,
    },
  ];
  for (const { name, options, refused = false } of different) {
    it(`verifies anew for ${name}`, () => {
      const { cache } = cacheAt();
      cache.verify(query);
      if (refused) expect(() => cache.verify(options)).to.throw(CertificateError);
      else cache.verify(options);
      expect(cache.counters).to.deep.include({ hits: 0, misses: 2 });
    });
  }

  it('needs no new verdict for the same anchors in a new set', () => {
    const { cache } = cacheAt();
    cache.verify({ ...query, anchors: createTrustAnchors([root.certificate, other.certificate]) });
    cache.verify({
      ...query,
      anchors: createTrustAnchors([other.certificate, root.certificate, root.certificate]),
    });
    expect(cache.counters.hits).to.equal(1);
  });

  it('remembers no refusal', () => {
    const { cache } = cacheAt();
    const bad = { ...query, certificates: [leaf.der] };
    expect(() => cache.verify(bad)).to.throw(CertificateError);
    expect(() => cache.verify(bad)).to.throw(CertificateError);
    expect(cache.counters).to.deep.equal({ hits: 0, misses: 2, size: 0 });
  });

  it('does not outlive the certificates', () => {
    const { cache, advance } = cacheAt({ maxAgeMs: HOUR });
    cache.verify(query);
    advance(120_000);
    cache.verify(query);
    expect(cache.counters.hits).to.equal(1);
    advance(1000);
    expect(() => cache.verify(query)).to.throw(CertificateError, /expired/);
  });

  it('looks again after a while, and when the clock was set back', () => {
    const { cache, advance } = cacheAt({ maxAgeMs: 1000 });
    cache.verify(query);
    advance(1000);
    cache.verify(query);
    advance(-10);
    cache.verify(query);
    expect(cache.counters).to.deep.equal({ hits: 0, misses: 3, size: 1 });
  });

  it('is bounded, and forgets on demand', () => {
    const { cache } = cacheAt({ capacity: 2 });
    for (let index = 0; index < 5; index += 1) {
      cache.verify({
        ...query,
        certificates: [...certificates, rawCa({ subject: String(index) }).der],
      });
    }
    expect(cache.counters.size).to.equal(2);
    cache.clear();
    expect(cache.counters.size).to.equal(0);
  });
});

describe('CertificateCache', () => {
  it('answers one object for the same bytes, and remembers who signed it', () => {
    const cache = new CertificateCache();
    const one = cache.parse(intermediate.der);
    expect(cache.parse(Uint8Array.from(intermediate.der))).to.equal(one);
    verifyChain({ ...query, now: testNow, cache });
    expect(cache.isSignedBy(one, root.certificate)).to.be.true;
    expect(cache.isSignedBy(root.certificate, one)).to.be.false;
    const budget = { signatureChecks: 1 };
    expect(verifyChain({ ...query, now: testNow, cache, budget }).path).to.have.length(3);
    cache.clear();
    expect(cache.size).to.equal(0);
    expect(cache.isSignedBy(one, root.certificate)).to.be.false;
  });

  it('is bounded', () => {
    const cache = new CertificateCache({ capacity: 1 });
    cache.parse(intermediate.der);
    cache.parse(root.der);
    expect(cache.size).to.equal(1);
  });
});

describe('BoundedMap', () => {
  it('forgets what was used longest ago', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    expect(map.get('a')).to.equal(1);
    map.set('c', 3);
    expect([map.get('a'), map.get('b'), map.get('c')]).to.deep.equal([1, undefined, 3]);
    map.set('a', 4);
    map.delete('c');
    expect([map.size, map.get('a')]).to.deep.equal([1, 4]);
    map.clear();
    expect(map.size).to.equal(0);
  });

  it('has room for at least one', () => {
    expect(() => new BoundedMap(0)).to.throw(RangeError);
  });
});
