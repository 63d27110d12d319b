import { expect } from 'chai';
import { readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { currentBundle } from '../../../src/ca/trust/bundle-document.ts';
import {
  createRotation,
  type Rotation,
  type RotationKind,
  type RotationRequest,
  type RotationStep,
} from '../../../src/ca/rotation/index.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { makeAuthority, type TestAuthority } from './authority.ts';
import { acknowledge, enrolHost, type Host, mintToken, newestBundle, renewHost } from './fleet.ts';

describe('rotation', () => {
  forEachVacantStore((_name, place) => {
    let authority: TestAuthority;
    let rotation: Rotation;

    beforeEach(async () => {
      authority = await makeAuthority(place());
      rotation = rotationOf(authority);
    });

    it('takes a root through all its steps, each as soon as its gate opens', async () => {
      const hosts = [await enrolHost(authority, 'a'), await enrolHost(authority, 'b')];
      await acknowledge(authority, hosts, 1);
      await take('root', 'prepare');
      expect(await states('root')).to.deep.equal(['signing', 'prepared']);
      await take('root', 'publish');
      const published = await newestBundle(authority);
      expect(published).to.equal(2);

      expect(await refusal('root', 'activate')).to.match(/^gate_shut: .*0 of 2 hosts/);
      await acknowledge(authority, [hosts[0]!], published);
      expect(await refusal('root', 'activate')).to.match(/agent\/b has trust bundle 1, not 2/);
      await acknowledge(authority, hosts, published);
      await take('root', 'activate');
      expect(await states('root')).to.deep.equal(['draining', 'signing']);
      expect(await states('issuing')).to.deep.equal(['draining', 'signing']);

      await take('root', 'reissue');
      expect(await refusal('root', 'retire')).to.match(/agent\/a has not renewed/);
      for (const host of hosts) await renewHost(authority, host);
      expect(await refusal('root', 'retire')).to.equal(undefined);
      expect(await states('root')).to.deep.equal(['retired', 'signing']);
      expect(await states('issuing')).to.deep.equal(['retired', 'signing']);
      expect((await rotation.status()).campaigns[0]?.finishedAt).to.be.an.instanceOf(Date);

      expect(await refusal('root', 'destroy')).to.match(/no CRL outlasts/);
      authority.clock.advance(2 * 86_400_000);
      const before = authority.keys.keys.size;
      await take('root', 'destroy');
      expect(await states('issuing')).to.deep.equal(['destroyed', 'signing']);
      expect(authority.keys.keys.size).to.equal(before - 2);
    });

    it('has both roots in the trust bundle from publish to retire', async () => {
      expect(await rootsInBundle()).to.equal(1);
      await take('root', 'prepare');
      expect(await rootsInBundle()).to.equal(1);
      await take('root', 'publish');
      expect(await rootsInBundle()).to.equal(2);
      await take('root', 'activate');
      expect(await rootsInBundle()).to.equal(2);
      await take('root', 'retire');
      expect(await rootsInBundle()).to.equal(1);
    });

    it('takes a published root out of the bundle again when it is aborted', async () => {
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'abort');
      expect(await rootsInBundle()).to.equal(1);
      await take('root', 'destroy');
      expect(await states('root')).to.deep.equal(['signing', 'destroyed']);
    });

    it('rolls back to the root before until that is retired', async () => {
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      const host = await enrolHost(authority, 'late', { bundleAck: 2 });
      await take('root', 'rollback');
      expect(await states('root')).to.deep.equal(['signing', 'draining']);
      expect(await states('issuing')).to.deep.equal(['signing', 'draining']);
      expect(authority.context.generations.signing('issuing').number).to.equal(1);
      expect(await refusal('root', 'retire')).to.match(/agent\/late has not renewed/);
      await renewHost(authority, host);
      await take('root', 'retire');
      expect(await states('root')).to.deep.equal(['signing', 'retired']);
      expect(await refusal('root', 'rollback')).to.match(/^wrong_state/);
    });

    it('rotates an issuing CA without a new root', async () => {
      const host = await enrolHost(authority, 'a', { bundleAck: 1 });
      await take('issuing', 'prepare');
      await take('issuing', 'publish');
      expect(await rootsInBundle()).to.equal(1);
      await acknowledge(authority, [host], await newestBundle(authority));
      await take('issuing', 'activate');
      expect(await states('issuing')).to.deep.equal(['draining', 'signing']);
      expect(await states('root')).to.deep.equal(['signing']);
      const { number, parent } = authority.context.generations.signing('issuing');
      expect(number).to.equal(2);
      expect(parent).to.deep.equal(authority.context.generations.signing('root').id);
    });

    it('rotates the enrolment CA without any trust bundle', async () => {
      await take('enrolment', 'prepare');
      await take('enrolment', 'publish');
      await take('enrolment', 'activate');
      await take('enrolment', 'retire');
      expect(await states('enrolment')).to.deep.equal(['retired', 'signing']);
      expect(await newestBundle(authority)).to.equal(1);
    });

    it('gives up an issuing CA that waits below a root that leaves', async () => {
      await take('issuing', 'prepare');
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      expect(await states('issuing')).to.deep.equal(['draining', 'aborted', 'signing']);
    });

    it('taints a root: a successor made for it signs at once, and everything is reissued', async () => {
      const host = await enrolHost(authority, 'a', { bundleAck: 1 });
      await take('root', 'taint', { force: { reason: 'laptop stolen' } });
      expect(await states('root')).to.deep.equal(['tainted', 'signing']);
      expect(await states('issuing')).to.deep.equal(['tainted', 'signing']);
      expect(await rootsInBundle()).to.equal(2);
      expect(rotation.renewAt(host.id, host.issuer)).to.be.an.instanceOf(Date);
      await renewHost(authority, host);
      await acknowledge(authority, [host], await newestBundle(authority));
      await take('root', 'retire');
      expect(await rootsInBundle()).to.equal(1);
    });

    it('taints only with a reason', async () => {
      expect(await refusal('issuing', 'taint')).to.match(/^reason_missing/);
      expect(await states('issuing')).to.deep.equal(['signing']);
    });

    it('taints the one that drains and leaves the one that signs alone', async () => {
      await take('issuing', 'prepare');
      await take('issuing', 'publish');
      await take('issuing', 'activate');
      await take('issuing', 'taint', { number: 1, force: { reason: 'disk sold' } });
      expect(await states('issuing')).to.deep.equal(['tainted', 'signing']);
    });

    it('forces a shut gate only with a reason, which is kept', async () => {
      await enrolHost(authority, 'asleep');
      await take('root', 'prepare');
      await take('root', 'publish');
      expect(await refusal('root', 'activate')).to.match(/^gate_shut/);
      await take('root', 'activate', { force: { reason: 'host is scrap' } });
      const { queries } = authority.context.store;
      const forced = await queries
        .selectFrom('ca_transition')
        .where('forced_why', 'is not', null)
        .select(['to_state', 'forced_why'])
        .distinct()
        .execute();
      expect(forced.map(({ to_state }) => to_state)).to.have.members(['draining', 'signing']);
      expect(forced[0]?.forced_why).to.equal('host is scrap');
      const refused = await queries
        .selectFrom('audit')
        .where('outcome', '=', 'refused')
        .select(['action', 'details'])
        .execute();
      expect(refused.map(({ action }) => action)).to.deep.equal(['rotation.activate']);
      expect(refused[0]?.details).to.contain('gate_shut');
    });

    it('does not wait for hosts that were written off', async () => {
      await enrolHost(authority, 'gone', { state: 'retired' });
      await enrolHost(authority, 'bad', { state: 'banned' });
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      await take('root', 'retire');
    });

    it('waits only for hosts seen lately when told so', async () => {
      await enrolHost(authority, 'asleep');
      authority.clock.advance(10 * 86_400_000);
      const days = 86_400_000;
      rotation = rotationOf(authority, { seenWithinMs: 9 * days });
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
    });

    it('waits for bundle files that know only the root before', async () => {
      await mintToken(authority);
      authority.clock.advance(1);
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      expect(await refusal('root', 'retire')).to.match(/1 usable bundle files/);
      authority.clock.advance(86_400_001);
      await take('root', 'retire');
    });

    it('counts nothing that is revoked', async () => {
      const host = await enrolHost(authority, 'a', { bundleAck: 2 });
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      expect(await refusal('root', 'retire')).to.match(/^gate_shut/);
      await revoke(host);
      await take('root', 'retire');
    });

    it('rotates the token key: the old one verifies until its last token is gone', async () => {
      await mintToken(authority);
      await take('token', 'prepare');
      expect(await states('token')).to.deep.equal(['signing', 'published']);
      await take('token', 'activate');
      expect(await states('token')).to.deep.equal(['draining', 'signing']);
      expect(await refusal('token', 'retire')).to.match(/1 usable or just used tokens/);
      await take('token', 'rollback');
      expect(await states('token')).to.deep.equal(['signing', 'published']);
      await take('token', 'activate');
      authority.clock.advance(86_400_001);
      const keys = authority.keys.keys.size;
      await take('token', 'retire');
      expect(await states('token')).to.deep.equal(['retired', 'signing']);
      expect(authority.keys.keys.size).to.equal(keys - 1);
    });

    it('aborts a token key that has not signed', async () => {
      await take('token', 'prepare');
      await take('token', 'abort');
      expect(await states('token')).to.deep.equal(['signing', 'retired']);
    });

    it('orders new ticket keys', async () => {
      expect(rotation.ticketKeysNotBefore()).to.equal(undefined);
      await take('ticket', 'activate');
      expect(rotation.ticketKeysNotBefore()).to.deep.equal(authority.clock.now());
      expect(await refusal('ticket', 'prepare')).to.match(/^wrong_state/);
    });

    it('changes nothing when what goes with the step fails', async () => {
      const keys = authority.keys.keys.size;
      const record = () => Promise.reject(new Error('row is there already'));
      await take('root', 'prepare', { record }).then(
        () => expect.fail('was taken'),
        (error: unknown) => {
          expect(String(error)).to.contain('row is there already');
        },
      );
      expect(await states('root')).to.deep.equal(['signing']);
      expect(authority.keys.keys.size).to.equal(keys);
    });

    it('lets one of two that take the same step at once through', async () => {
      const other = rotationOf(authority);
      const request = { kind: 'root', step: 'prepare', caller: { name: 'owner' } } as const;
      const outcomes = await Promise.allSettled([
        rotation.advance(request),
        other.advance(request),
      ]);
      expect(outcomes.map(({ status }) => status)).to.have.members(['fulfilled', 'rejected']);
      expect(await states('root')).to.deep.equal(['signing', 'prepared']);
      // The key of the one that lost is gone: root, issuing, enrolment, token and the new root.
      expect(authority.keys.keys.size).to.equal(5);
    });

    it('refuses a key that no longer signs, whoever asks', async () => {
      await take('root', 'prepare');
      await take('root', 'publish');
      const next = authority.context.generations.all().find(({ state }) => state === 'published');
      authority.keys.broken.add(next!.keyRef);
      const force = { reason: 'hurry' };
      expect(await refusal('root', 'activate', { force })).to.match(/^key_unusable: root 2/);
      expect(await states('root')).to.deep.equal(['signing', 'published']);
    });

    it('writes one audit row for each generation that changed, and the chain of states', async () => {
      await take('root', 'prepare');
      await take('root', 'publish');
      await take('root', 'activate');
      const { queries } = authority.context.store;
      const audit = await queries
        .selectFrom('audit')
        .where('action', '=', 'rotation.activate')
        .select('subject')
        .execute();
      expect(audit.map(({ subject }) => subject)).to.have.members([
        'root 1',
        'issuing 1',
        'root 2',
        'issuing 2',
      ]);
      const root = authority.context.generations.signing('root');
      const history = await queries
        .selectFrom('ca_transition')
        .where('generation', '=', root.id)
        .orderBy('state_version')
        .select(['from_state', 'to_state'])
        .execute();
      expect(history.map(({ from_state, to_state }) => [from_state, to_state])).to.deep.equal([
        [null, 'prepared'],
        ['prepared', 'published'],
        ['published', 'signing'],
      ]);
    });

    async function take(
      kind: RotationKind,
      step: RotationStep,
      more: Partial<RotationRequest> = {},
    ): Promise<void> {
      await rotation.advance({ kind, step, caller: { name: 'owner' }, ...more });
      await authority.tokenKeys.refresh();
    }

    async function refusal(...step: Parameters<typeof take>): Promise<string | undefined> {
      try {
        await take(...step);
        return undefined;
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        return `${error.reason}: ${error.message}`;
      }
    }

    async function states(kind: RotationKind): Promise<readonly string[]> {
      const { generations } = await rotation.status();
      return generations.filter((each) => each.kind === kind).map(({ state }) => state);
    }

    async function rootsInBundle(): Promise<number> {
      const bundle = await currentBundle(authority.context.store.queries);
      return readBundle(bundle!.document).roots.length;
    }

    async function revoke(host: Host): Promise<void> {
      await authority.context.store.transact(async ({ queries, now }) => {
        await queries
          .insertInto('revocation')
          .values({
            kind: 'certificate',
            subject: host.serial,
            reason: 'unspecified',
            at: now,
            by: 'owner',
            feed_seq: 1,
            issuer: host.issuer,
            not_after: now + 1,
          })
          .execute();
      });
    }
  });
});

function rotationOf(
  { context, tokenKeys }: TestAuthority,
  hosts: { readonly seenWithinMs?: number } = {},
): Rotation {
  return createRotation({
    context,
    tokenKeys,
    version: '1',
    settings: { windows: { hosts, replicas: { staleAfterMs: 30_000 } } },
  });
}
