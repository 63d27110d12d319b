import { expect } from 'chai';
import { verifyAudit } from '../../../src/ca/audit/verify.ts';
import { parseRevocationReason, type RevocationOrder } from '../../../src/ca/revocation/order.ts';
import { RevocationIndex } from '../../../src/ca/revocation/revocation-index.ts';
import { type RevokeItem, revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import { revokeOffspring, revokeTokens } from '../../../src/ca/revocation/revoke-tokens.ts';
import { storedSerial } from '../../../src/ca/revocation/serial.ts';
import { feedHead, readFeed } from '../../../src/ca/trust/feed.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { dayMs } from '../support/rows.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';

const order: RevocationOrder = { reason: 'keyCompromise', by: 'owner', comment: 'laptop lost' };

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ServiceError) return `${error.status} ${error.reason}`;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('revocation', () => {
  forEachVacantStore((_, place) => {
    let authority: TrustAuthority;

    beforeEach(async () => {
      authority = await openTrustAuthority(place());
    });
    afterEach(() => authority.close());

    const revoke = (subject: RevokeItem['subject']) =>
      authority.context.writer.submit(revokeOperation, { subject, order });

    const auditOf = async (action: string) =>
      await authority.store.queries
        .selectFrom('audit')
        .select(['subject', 'outcome', 'details'])
        .where('action', '=', action)
        .execute();

    it('revokes a certificate once, with one feed entry and one audit row', async () => {
      const { hosts } = await authority.enrol(2);
      const serial = hosts[0]!.certificate.serial;
      const before = await feedHead(authority.store.queries);
      const first = await revoke({ kind: 'certificate', serial });
      expect(first).to.deep.equal({
        agents: 0,
        certificates: 1,
        tokens: 0,
        feedSequence: before + 1,
      });
      const second = await revoke({ kind: 'certificate', serial });
      expect(second.certificates).to.equal(0);
      const feed = await readFeed(authority.store.queries, before, 10);
      expect(feed.map(({ type }) => type)).to.deep.equal(['certificate_revoked']);
      expect(feed[0]?.payload).to.deep.equal({
        reason: 'keyCompromise',
        notAfter: hosts[0]!.certificate.not_after,
      });
      expect(await auditOf('certificate.revoke')).to.have.length(1);
      const { state } = await authority.store.queries
        .selectFrom('agent')
        .select('state')
        .where('id', '=', hosts[0]!.agent.id)
        .executeTakeFirstOrThrow();
      expect(state).to.equal('active');
    });

    it('revokes one certificate asked for twice in a batch once', async () => {
      const { hosts } = await authority.enrol(1);
      const item = { kind: 'certificate', serial: hosts[0]!.certificate.serial } as const;
      const results = await Promise.all([revoke(item), revoke(item), revoke(item)]);
      expect(results.map(({ certificates }) => certificates).sort()).to.deep.equal([0, 0, 1]);
    });

    it('revokes an expired certificate', async () => {
      const { hosts } = await authority.enrol(1);
      authority.clock.ms += 3 * dayMs;
      const { serial } = hosts[0]!.certificate;
      expect((await revoke({ kind: 'certificate', serial })).certificates).to.equal(1);
    });

    it('refuses what it does not know, audited, without harm to its neighbours', async () => {
      const { hosts } = await authority.enrol(1);
      const unknown = new Uint8Array(16).fill(9);
      const [certificate, agent, token, batch, good] = await Promise.all([
        refusal(revoke({ kind: 'certificate', serial: unknown })),
        refusal(revoke({ kind: 'agent', id: unknown })),
        refusal(revoke({ kind: 'token', id: unknown })),
        refusal(revoke({ kind: 'batch', id: unknown })),
        revoke({ kind: 'certificate', serial: hosts[0]!.certificate.serial }),
      ]);
      expect([certificate, agent, token, batch]).to.deep.equal([
        'NOT_FOUND certificate_unknown',
        'NOT_FOUND agent_unknown',
        'NOT_FOUND token_unknown',
        'NOT_FOUND token_unknown',
      ]);
      expect(good.certificates).to.equal(1);
      for (const action of ['certificate.revoke', 'agent.revoke', 'token.revoke', 'batch.revoke']) {
        const refused = (await auditOf(action)).filter(({ outcome }) => outcome === 'refused');
        expect(refused, action).to.have.length(1);
      }
    });

    it('bans an agent for good, with its certificates and tokens, in one feed entry', async () => {
      const { hosts } = await authority.enrol(2);
      const [host, other] = hosts;
      const before = await feedHead(authority.store.queries);
      const result = await revoke({ kind: 'agent', id: host!.agent.id });
      expect(result).to.deep.equal({
        agents: 1,
        certificates: 1,
        tokens: 1,
        feedSequence: before + 1,
      });
      const feed = await readFeed(authority.store.queries, before, 10);
      expect(feed).to.have.length(1);
      expect(feed[0]?.payload['spiffeId']).to.equal(host!.agent.spiffe_id);
      const agents = await authority.store.queries
        .selectFrom('agent')
        .select(['id', 'state', 'state_by', 'state_why'])
        .execute();
      const banned = agents.filter(({ state }) => state === 'banned');
      expect(banned.map(({ id }) => Buffer.from(id))).to.deep.equal([Buffer.from(host!.agent.id)]);
      expect(banned[0]).to.deep.include({ state_by: 'owner', state_why: 'laptop lost' });
      const renewals = await authority.store.queries
        .selectFrom('token')
        .select(['agent', 'state'])
        .where('kind', '=', 'renew')
        .execute();
      for (const { agent, state } of renewals) {
        const isOthers = Buffer.compare(agent!, other!.agent.id) === 0;
        expect(state).to.equal(isOthers ? 'active' : 'revoked');
      }
      expect((await revoke({ kind: 'agent', id: host!.agent.id })).agents).to.equal(0);
      expect(await auditOf('agent.revoke')).to.have.length(1);
      const revoked = await authority.store.queries.selectFrom('revocation').selectAll().execute();
      expect(revoked.map(({ kind }) => kind).sort()).to.deep.equal(['agent', 'certificate']);
      expect(revoked.every(({ feed_seq }) => feed_seq === before + 1)).to.equal(true);
    });

    it('revokes the whole offspring of a batch, and of a single token', async () => {
      const one = await authority.enrol(3);
      const two = await authority.enrol(2);
      const batch = await revoke({ kind: 'batch', id: one.batch });
      expect(batch).to.deep.include({ agents: 3, certificates: 3, tokens: 6 });
      const token = await revoke({ kind: 'token', id: two.tokens[0]!.id });
      expect(token).to.deep.include({ agents: 1, certificates: 1, tokens: 2 });
      const left = await authority.store.queries
        .selectFrom('agent')
        .select('id')
        .where('state', '=', 'active')
        .execute();
      expect(left.map(({ id }) => Buffer.from(id))).to.deep.equal([
        Buffer.from(two.hosts[1]!.agent.id),
      ]);
      expect(await revoke({ kind: 'batch', id: one.batch })).to.deep.equal({
        agents: 0,
        certificates: 0,
        tokens: 0,
        feedSequence: 0,
      });
    });

    it('goes on with the offspring of a batch where it was', async () => {
      const { batch } = await authority.enrol(3);
      const some = () =>
        authority.store.transact((transaction) =>
          revokeOffspring(transaction, { kind: 'batch', id: batch }, order, 2),
        );
      const first = await some();
      expect(first).to.have.property('hasMore', true);
      expect(first.result).to.deep.include({ agents: 2, certificates: 2, tokens: 5 });
      const second = await some();
      expect(second).to.have.property('hasMore', false);
      expect(second.result).to.deep.include({ agents: 1, certificates: 1, tokens: 1 });
      expect(await auditOf('batch.revoke')).to.have.length(1);
      expect(await authority.violations()).to.deep.equal([]);
    });

    it('revokes tokens without those who came from them', async () => {
      const { batch, hosts } = await authority.enrol(2);
      const revoked = await authority.store.transact((transaction) =>
        revokeTokens(transaction, { kind: 'batch', id: batch }, order),
      );
      expect(revoked).to.equal(2);
      const { length } = await authority.store.queries
        .selectFrom('agent')
        .select('id')
        .where('state', '=', 'active')
        .execute();
      expect(length).to.equal(hosts.length);
    });

    it('leaves nothing broken behind', async () => {
      const { batch, hosts } = await authority.enrol(5);
      await revoke({ kind: 'certificate', serial: hosts[0]!.certificate.serial });
      await revoke({ kind: 'batch', id: batch });
      expect(await authority.violations()).to.deep.equal([]);
      expect(await verifyAudit(authority.store.queries)).to.include({ ok: true });
    });

    it('is found in memory: loaded, or followed', async () => {
      const { hosts } = await authority.enrol(3);
      const { queries } = authority.store;
      const followed = new RevocationIndex();
      await revoke({ kind: 'agent', id: hosts[0]!.agent.id });
      await revoke({ kind: 'certificate', serial: hosts[1]!.certificate.serial });
      const head = await feedHead(queries);
      await followed.advance(queries, 0, head);
      const loaded = new RevocationIndex();
      await loaded.load(queries, head, authority.clock.ms);
      for (const index of [followed, loaded]) {
        expect(index.certificate(hosts[0]!.certificate.serial)?.reason).to.equal('keyCompromise');
        expect(index.certificate(hosts[1]!.certificate.serial)?.reason).to.equal('keyCompromise');
        expect(index.certificate(hosts[2]!.certificate.serial)).to.equal(undefined);
        expect(index.agent(hosts[0]!.agent.id)?.spiffeId).to.equal(hosts[0]!.agent.spiffe_id);
        const told = [...index.living(authority.clock.ms)];
        // The certificate of the agent goes without saying.
        expect(told).to.have.length(2);
        expect([...index.living(authority.clock.ms + 2 * dayMs)]).to.have.length(0);
        index.prune(authority.clock.ms + 2 * dayMs);
        expect(index.size).to.equal(0);
      }
      const later = new RevocationIndex();
      await later.load(queries, head, authority.clock.ms + 2 * dayMs);
      expect(later.size).to.equal(0);
    });
  });
});

describe('parseRevocationReason (RFC 5280 §5.3.1)', () => {
  it('knows the reasons that are final', () => {
    expect(parseRevocationReason('')).to.equal('unspecified');
    expect(parseRevocationReason('keyCompromise')).to.equal('keyCompromise');
    for (const text of ['certificateHold', 'removeFromCRL', 'keycompromise', 'toString']) {
      expect(() => parseRevocationReason(text), text).to.throw(ServiceError);
    }
  });
});

describe('storedSerial', () => {
  for (const { name, integer, stored } of [
    { name: 'as it is', integer: '4a'.repeat(16), stored: '4a'.repeat(16) },
    { name: 'with a sign byte', integer: `00${'ff'.repeat(16)}`, stored: 'ff'.repeat(16) },
    { name: 'short of leading zeros', integer: '01ff', stored: `${'00'.repeat(14)}01ff` },
    { name: 'too long', integer: '4a'.repeat(17), stored: undefined },
    { name: 'zero', integer: '00', stored: undefined },
  ]) {
    it(`takes a number ${name}`, () => {
      const result = storedSerial(Buffer.from(integer, 'hex'));
      expect(result && Buffer.from(result).toString('hex')).to.equal(stored);
    });
  }
});
