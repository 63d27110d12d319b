import { expect } from 'chai';
import type { IssuedCertificates } from '../../src/gen/sidekey/v1/certificate_authority.ts';
import { generateKeyPair, type KeyPair } from '../../src/crypto/key-generation.ts';
import {
  checkIssued,
  IssuedError,
  type IssuedExpectation,
  uuidText,
} from '../../src/identity/issued-certificates.ts';
import { pinnedTrust } from '../../src/identity/trust-bundle.ts';
import { issueCertificate } from '../../src/pki/index.ts';
import { type Ca, FakeAuthority } from './support/fake-authority.ts';
import { FakeClock } from './support/fake-clock.ts';

const hour = 3_600_000;

describe('what an authority issued', () => {
  const clock = new FakeClock();
  const authority = new FakeAuthority(clock.now);
  const tls = generateKeyPair('ecdsa-p256');
  const decryption = generateKeyPair('ecdsa-p256');
  const other = generateKeyPair('ecdsa-p256');
  const id = Buffer.alloc(16, 0x42);
  const spiffeId = `spiffe://example.test/agent/${uuidText(id)}`;
  const expectation: IssuedExpectation = {
    keys: { tls: tls.privateKey, decryption: decryption.privateKey },
    trust: pinnedTrust({
      trustDomain: 'example.test',
      roots: [authority.root.certificate.der],
      addresses: [],
    }),
    agent: undefined,
    role: 'agent',
    now: clock.now(),
  };

  interface Leaf {
    readonly keys?: KeyPair;
    readonly uris?: readonly string[];
    readonly issuer?: Ca;
    readonly from?: number;
    readonly until?: number;
    readonly eku?: readonly string[];
    readonly usage?: readonly ('digitalSignature' | 'keyAgreement')[];
  }

  function leaf(options: Leaf, keys: KeyPair): Buffer {
    return Buffer.from(
      issueCertificate({
        subjectAltNames: { uris: options.uris ?? [spiffeId] },
        publicKey: (options.keys ?? keys).publicKey,
        issuer: options.issuer ?? authority.issuing,
        notBefore: new Date(clock.now().getTime() + (options.from ?? -1) * hour),
        notAfter: new Date(clock.now().getTime() + (options.until ?? 24) * hour),
        extendedKeyUsage: options.eku ?? ['serverAuth', 'clientAuth'],
        ...(options.usage === undefined ? {} : { keyUsage: options.usage }),
      }),
    );
  }

  const above = Buffer.from(authority.issuing.certificate.der);
  const tlsChain = (options: Leaf = {}) => [leaf(options, tls), above];
  const decryptionChain = (options: Leaf = {}) => [
    leaf({ usage: ['keyAgreement'], eku: ['1.3.6.1.5.5.7.3.4'], ...options }, decryption),
    above,
  ];

  function issued(change: Partial<IssuedCertificates> = {}): IssuedCertificates {
    return {
      agentId: id,
      spiffeId,
      tlsChain: tlsChain(),
      decryptionChain: decryptionChain(),
      renewalToken: 'sk1.next',
      generation: 1,
      serverTime: clock.now(),
      active: true,
      properties: {},
      ...change,
    };
  }

  it('is taken when it is what was asked for', () => {
    const checked = checkIssued(issued({ properties: { cluster: 'a' } }), expectation);
    expect(checked).to.deep.include({ spiffeId, renewalToken: 'sk1.next', active: true });
    expect(checked.properties.get('cluster')).to.equal('a');
  });

  it('is taken although it has ended, to be renewed', () => {
    const ended = issued({ tlsChain: tlsChain({ until: -0.5 }) });
    expect(checkIssued(ended, expectation).leaf.notAfter.getTime()).to.be.below(+clock.now());
  });

  it('is taken without decryption when none was asked for', () => {
    const keys = { tls: tls.privateKey, decryption: undefined };
    const checked = checkIssued(issued({ decryptionChain: [] }), { ...expectation, keys });
    expect(checked.decryptionChain).to.deep.equal([]);
    expect(() => checkIssued(issued(), { ...expectation, keys })).to.throw(
      IssuedError,
      /not asked/,
    );
  });

  const stranger = authority.makeRoot('Stranger');
  const elsewhere = authority.makeIssuing(stranger);
  const cases: readonly {
    readonly what: string;
    readonly change: Partial<IssuedCertificates>;
    readonly reason: string;
  }[] = [
    { what: 'no chain', change: { tlsChain: [] }, reason: 'answer_malformed' },
    {
      what: 'a long chain',
      change: { tlsChain: Array.from({ length: 9 }, () => above) },
      reason: 'answer_malformed',
    },
    {
      what: 'a chain of nonsense',
      change: { tlsChain: [Buffer.from('3003020101', 'hex')] },
      reason: 'answer_malformed',
    },
    { what: 'no token', change: { renewalToken: '' }, reason: 'answer_malformed' },
    {
      what: 'a token of megabytes',
      change: { renewalToken: 'x'.repeat(1e6) },
      reason: 'answer_malformed',
    },
    { what: 'a short id', change: { agentId: Buffer.alloc(15) }, reason: 'answer_malformed' },
    {
      what: 'too many properties',
      change: {
        properties: Object.fromEntries(
          Array.from({ length: 300 }, (_, i) => [`p${String(i)}`, '']),
        ),
      },
      reason: 'answer_malformed',
    },
    {
      what: 'another id than its name',
      change: { agentId: Buffer.alloc(16) },
      reason: 'certificate_of_other_role',
    },
    {
      what: 'another domain',
      change: { spiffeId: spiffeId.replace('example.test', 'evil.test') },
      reason: 'certificate_of_other_domain',
    },
    {
      what: 'a name that is none',
      change: { spiffeId: 'agent' },
      reason: 'certificate_of_other_domain',
    },
    {
      what: 'another role',
      change: { spiffeId: spiffeId.replace('/agent/', '/operator/') },
      reason: 'certificate_of_other_role',
    },
    {
      what: 'another name in the certificate',
      change: { tlsChain: tlsChain({ uris: ['spiffe://example.test/agent/x'] }) },
      reason: 'certificate_of_other_agent',
    },
    {
      what: 'two names in the certificate',
      change: { tlsChain: tlsChain({ uris: [spiffeId, 'spiffe://example.test/operator/x'] }) },
      reason: 'certificate_of_other_agent',
    },
    {
      what: 'a certificate of another key',
      change: { tlsChain: tlsChain({ keys: other }) },
      reason: 'certificate_of_other_key',
    },
    {
      what: 'a certificate of a stranger',
      change: {
        tlsChain: [leaf({ issuer: elsewhere }, tls), Buffer.from(elsewhere.certificate.der)],
      },
      reason: 'unknown_issuer',
    },
    {
      what: 'a certificate of tomorrow',
      change: { tlsChain: tlsChain({ from: 1 }) },
      reason: 'certificate_not_yet_valid',
    },
    {
      what: 'a certificate for clients only',
      change: { tlsChain: tlsChain({ eku: ['clientAuth'] }) },
      reason: 'wrong_extended_key_usage',
    },
    {
      what: 'a certificate for servers only',
      change: { tlsChain: tlsChain({ eku: ['serverAuth'] }) },
      reason: 'wrong_extended_key_usage',
    },
    {
      what: 'a certificate for anything',
      change: { tlsChain: tlsChain({ eku: [] }) },
      reason: 'wrong_extended_key_usage',
    },
    { what: 'no decryption', change: { decryptionChain: [] }, reason: 'answer_malformed' },
    {
      what: 'decryption with another key',
      change: { decryptionChain: decryptionChain({ keys: other }) },
      reason: 'certificate_of_other_key',
    },
    {
      what: 'decryption with the TLS key',
      change: { decryptionChain: decryptionChain({ keys: tls }) },
      reason: 'certificate_of_other_key',
    },
    {
      what: 'decryption with another name',
      change: { decryptionChain: decryptionChain({ uris: ['spiffe://example.test/agent/x'] }) },
      reason: 'certificate_of_other_agent',
    },
    {
      what: 'decryption by a stranger',
      change: { decryptionChain: decryptionChain({ issuer: elsewhere }) },
      reason: 'certificate_of_other_issuer',
    },
    {
      what: 'decryption of tomorrow',
      change: { decryptionChain: decryptionChain({ from: 1 }) },
      reason: 'certificate_not_yet_valid',
    },
  ];
  for (const { what, change, reason } of cases) {
    it(`is refused with ${what}`, () => {
      let error: unknown;
      try {
        checkIssued(issued(change), expectation);
      } catch (thrown) {
        error = thrown;
      }
      if (!(error instanceof IssuedError)) throw new Error(`not refused: ${String(error)}`);
      expect(error.reason).to.equal(reason);
    });
  }

  it('is refused with another agent than the one that renews', () => {
    const agent = { id: Buffer.alloc(16, 1), spiffeId: 'spiffe://example.test/agent/1' };
    expect(() => checkIssued(issued(), { ...expectation, agent })).to.throw(
      IssuedError,
      `is of ${spiffeId}, not of ${agent.spiffeId}`,
    );
  });
});
