import { expect } from 'chai';
import { CrlEntries } from '../../src/pki/crl-entries.ts';
import { parseCrl } from '../../src/pki/crl.ts';
import { type CrlTemplate, issueCrl } from '../../src/pki/issue-crl.ts';
import { createTestCa } from '../support/test-ca.ts';
import { openSsl, type OpenSsl } from '../support/openssl.ts';

const HOUR = 3_600_000;
const ca = createTestCa();
const issuer = { certificate: ca.parsed, privateKey: ca.privateKey };
const [spared = [], inBase = [], inDelta = []] = ['spared', 'in-base', 'in-delta'].map(
  (name) => ca.issue({ dnsNames: [`${name}.test`] }).chain,
);

function crl(changes: Partial<CrlTemplate>): Uint8Array {
  const now = Date.now();
  return issueCrl({
    issuer,
    crlNumber: 7n,
    thisUpdate: new Date(now - HOUR),
    nextUpdate: new Date(now + HOUR),
    revoked: [],
    ...changes,
  });
}

function serialOf(openssl: OpenSsl, leaf: Uint8Array): Uint8Array {
  const path = openssl.pem('serial.pem', 'CERTIFICATE', leaf);
  const { output } = openssl.run('x509', '-in', path, '-noout', '-serial');
  return Buffer.from(output.trim().replace('serial=', ''), 'hex');
}

describe('delta CRLs (RFC 5280 §5.2.4), judged by OpenSSL', () => {
  let openssl: OpenSsl;
  let base: string;
  let delta: string;

  before(() => {
    openssl = openSsl();
    const entry = (leaf: Uint8Array | undefined) => ({
      serialNumber: serialOf(openssl, leaf ?? new Uint8Array(0)),
      revokedAt: new Date(Date.now() - HOUR),
      reason: 'keyCompromise' as const,
    });
    const full = crl({
      revoked: [entry(inBase[0])],
      freshestCrlUrl: 'http://ca.test/crl/1-delta.crl',
    });
    base = openssl.pem('base.pem', 'X509 CRL', full);
    const added = crl({
      crlNumber: 9n,
      baseCrlNumber: 7n,
      thisUpdate: new Date(Date.now() - HOUR / 2),
      revoked: [entry(inDelta[0])],
    });
    delta = openssl.pem('delta.pem', 'X509 CRL', added);
  });

  after(() => {
    openssl.close();
  });

  function verify(leaf: readonly Uint8Array[], ...crls: readonly string[]) {
    return openssl.run(
      'verify',
      '-crl_check',
      // Without it, OpenSSL takes a delta that is newer than its base for a complete CRL.
      '-extended_crl',
      '-use_deltas',
      '-CAfile',
      openssl.file('ca.pem', ca.pem),
      ...crls.flatMap((path) => ['-CRLfile', path]),
      openssl.pem('leaf.pem', 'CERTIFICATE', ...leaf),
    );
  }

  it('says what it is: base number, CRL number, where deltas are', () => {
    const text = openssl.run('crl', '-in', delta, '-noout', '-text').output;
    expect(text).to.match(/Delta CRL Indicator: critical\s+7/);
    expect(text).to.match(/CRL Number:\s+9/);
    const baseText = openssl.run('crl', '-in', base, '-noout', '-text').output;
    expect(baseText).to.match(/Freshest CRL:\s+Full Name:\s+URI:http:\/\/ca.test/);
    const signature = openssl.run(
      'crl',
      '-in',
      delta,
      '-noout',
      '-CAfile',
      openssl.file('ca.pem', ca.pem),
    );
    expect(signature.output).to.include('verify OK');
  });

  const verdicts = [
    { name: 'a certificate in neither', leaf: spared, good: true },
    { name: 'a certificate in the base', leaf: inBase, good: false },
    { name: 'a certificate in the delta alone', leaf: inDelta, good: false },
  ];
  for (const { name, leaf, good } of verdicts) {
    it(`decides over ${name}`, () => {
      const { status, output } = verify(leaf, base, delta);
      expect(status, output).to.equal(good ? 0 : 2);
      if (!good) expect(output).to.include('certificate revoked');
    });
  }

  it('is needed for what it adds', () => {
    expect(verify(inDelta, base).status).to.equal(0);
  });

  it('is not taken for a complete one by us', () => {
    const alone = crl({ crlNumber: 9n, baseCrlNumber: 7n });
    expect(() => parseCrl(alone)).to.throw(/critical extension 2\.5\.29\.27/);
  });

  for (const { name, changes } of [
    { name: 'a base that is not older', changes: { crlNumber: 7n, baseCrlNumber: 7n } },
    {
      name: 'deltas of a delta',
      changes: { crlNumber: 8n, baseCrlNumber: 7n, freshestCrlUrl: 'http://ca.test/' },
    },
  ]) {
    it(`refuses ${name}`, () => {
      expect(() => crl(changes)).to.throw(RangeError);
    });
  }
});

describe('CrlEntries', () => {
  it('encodes a hundred thousand entries as a CRL that OpenSSL and we read', () => {
    const entries = new CrlEntries();
    const revokedAt = new Date(Date.now() - HOUR);
    for (let index = 0; index < 100_000; index += 1) {
      const serialNumber = Buffer.alloc(16, 0x5a);
      serialNumber.writeUInt32BE(index, 12);
      entries.add({
        serialNumber,
        revokedAt,
        ...(index % 2 === 0 ? { reason: 'cessationOfOperation' as const } : {}),
      });
    }
    const full = crl({ revoked: entries });
    const parsed = parseCrl(full);
    expect(parsed.revokedCount).to.equal(100_000);
    const last = Buffer.alloc(16, 0x5a);
    last.writeUInt32BE(99_998, 12);
    expect(parsed.revoked(last)?.reason).to.equal('cessationOfOperation');
    const openssl = openSsl();
    try {
      const path = openssl.file('full.crl', full);
      const { output } = openssl.run(
        'crl',
        '-inform',
        'DER',
        '-in',
        path,
        '-noout',
        '-CAfile',
        openssl.file('ca.pem', ca.pem),
      );
      expect(output).to.include('verify OK');
    } finally {
      openssl.close();
    }
  });
});
