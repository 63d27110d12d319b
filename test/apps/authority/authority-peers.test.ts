import { expect } from 'chai';
import { AuthorityPeers } from '../../../src/apps/authority/authority-peers.ts';
import type { Generation } from '../../../src/ca/generations/generation.ts';
import { type Certificate, CertificateError, parseCertificate } from '../../../src/pki/index.ts';
import { createTestCa, type IssueOptions, type TestCa } from '../../support/test-ca.ts';

const hour = 3_600_000;
const root = createTestCa({ name: 'Root' });
const enrolment = createTestCa({ name: 'Enrolment' });
const agent: IssueOptions = { uris: ['spiffe://example.org/agent/1'], intermediate: true };
const issuing = parseCertificate(root.issue(agent).chain[1]!);

function generation(
  kind: Generation['kind'],
  certificate: Certificate,
  state: Generation['state'] = 'signing',
): Generation {
  return {
    id: new Uint8Array(16),
    kind,
    number: 1,
    state,
    stateVersion: 1,
    publishedIn: 1,
    parent: undefined,
    certificate,
    crossCertificate: undefined,
    oldWithNew: undefined,
    keyRef: '',
  };
}

function peersOf(
  changes: {
    readonly rootState?: Generation['state'];
    readonly enrolmentState?: Generation['state'];
    readonly isRevoked?: boolean;
    readonly lateMs?: number;
  } = {},
): AuthorityPeers {
  const generations = [
    generation('root', root.parsed, changes.rootState),
    generation('issuing', issuing),
    generation('enrolment', enrolment.parsed, changes.enrolmentState),
  ];
  return new AuthorityPeers({
    trustDomain: 'example.org',
    generations: () => generations,
    isRevoked: () => changes.isRevoked ?? false,
    expiredGraceMs: 2 * hour,
    now: () => new Date(Date.now() + (changes.lateMs ?? 0)),
  });
}

function judged(peers: AuthorityPeers, ca: TestCa, options: IssueOptions): string {
  try {
    const { peer, identity } = peers.judge(ca.issue(options).chain);
    return `${peer.kind} ${identity ?? ''}`.trim();
  } catch (error) {
    if (error instanceof CertificateError) return error.reason;
    throw error;
  }
}

describe('AuthorityPeers', () => {
  const past = { notBefore: new Date(Date.now() - 5 * hour) };
  const credential = { uris: ['spiffe://example.org/bundle/1'] };

  for (const [name, peers, ca, options, verdict] of [
    ['a host', peersOf(), root, agent, 'host spiffe://example.org/agent/1'],
    ['the credential of a bundle', peersOf(), enrolment, credential, 'enrolment'],
    [
      'a host that names itself in the way of a bundle',
      peersOf(),
      enrolment,
      { uris: ['spiffe://example.org/agent/1'] },
      'enrolment',
    ],
    ['a certificate of somebody else', peersOf(), createTestCa(), agent, 'unknown_issuer'],
    [
      'a host of another trust domain',
      peersOf(),
      root,
      { ...agent, uris: ['spiffe://other.org/agent/1'] },
      'not_a_host',
    ],
    [
      'a role there is not',
      peersOf(),
      root,
      { ...agent, uris: ['spiffe://example.org/king/1'] },
      'not_a_host',
    ],
    ['a host that was revoked', peersOf({ isRevoked: true }), root, agent, 'certificate_revoked'],
    [
      'a host whose certificate ended not long ago',
      peersOf(),
      root,
      { ...agent, ...past, notAfter: new Date(Date.now() - hour) },
      'host spiffe://example.org/agent/1',
    ],
    [
      'a host whose certificate ended long ago',
      peersOf(),
      root,
      { ...agent, ...past, notAfter: new Date(Date.now() - 3 * hour) },
      'peer_certificate_expired',
    ],
    [
      'the credential of a bundle that has ended',
      peersOf(),
      enrolment,
      { ...credential, ...past, notAfter: new Date(Date.now() - hour) },
      'peer_certificate_expired',
    ],
    [
      'a host below a root that was only prepared',
      peersOf({ rootState: 'prepared' }),
      root,
      agent,
      'unknown_issuer',
    ],
    [
      'a host below a root that was given up',
      peersOf({ rootState: 'retired' }),
      root,
      agent,
      'unknown_issuer',
    ],
    [
      'the credential of a CA that was given up',
      peersOf({ enrolmentState: 'retired' }),
      enrolment,
      credential,
      'unknown_issuer',
    ],
  ] as const) {
    it(`takes ${name} for: ${verdict}`, () => {
      expect(judged(peers, ca, options)).to.equal(verdict);
    });
  }

  it('names the CAs whose certificates it takes', () => {
    const names = peersOf().authorityNames();
    expect(names.map((name) => Buffer.from(name))).to.deep.equal([
      Buffer.from(root.parsed.subject),
      Buffer.from(enrolment.parsed.subject),
    ]);
  });
});
