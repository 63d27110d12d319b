import { expect } from 'chai';
import type { Authority } from '../../../src/ca/index.ts';
import { checkInvariants } from '../../../src/ca/check/check.ts';
import type { RotationKind, RotationStep } from '../../../src/ca/rotation/index.ts';
import { readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { parseCertificate } from '../../../src/pki/certificate.ts';
import { createTrustAnchors } from '../../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../../src/pki/verify-chain.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import {
  type AuthorityFixture,
  authorityOn,
  confirm,
  enroll,
  mintBundles,
  renew,
  type TestHost,
} from '../issue/authority-fixture.ts';
import { forEachVacantStore } from '../support/stores.ts';

describe('rotation of an authority at work', function () {
  this.timeout(120_000);

  forEachVacantStore((name, place) => {
    let fixture: AuthorityFixture;
    let authority: Authority;

    beforeEach(async () => {
      fixture = await authorityOn(place());
      ({ authority } = fixture);
    });

    afterEach(() => fixture.close());

    it('replaces the root under hosts that enrol, renew and confirm meanwhile', async () => {
      const others = name === 'postgres' ? [await fixture.replica()] : [];
      const replicas = [authority, ...others];
      let hosts = await enrolThrough(replicas, 4);
      const [firstRoot] = await roots();

      await take('root', 'prepare');
      await eventually(() => take('root', 'publish'));
      expect(await reasonOf(take('root', 'activate'))).to.equal('gate_shut');
      await acknowledge();
      await eventually(() => take('root', 'activate'));
      hosts.push(...(await enrolThrough(replicas, 2)));
      await acknowledge();
      expect(await roots()).to.have.length(2);
      for (const { issued } of hosts) verify(issued.tlsChain, [firstRoot!]);

      await take('root', 'reissue');
      expect(await reasonOf(take('root', 'retire'))).to.equal('gate_shut');
      const [host] = hosts;
      const slot = authority.rotation.renewAt(host!.issued.agentId, await issuerOf(host!));
      expect(slot).to.be.an.instanceOf(Date);
      hosts = await renewThrough(replicas, hosts);
      await acknowledge();
      await eventually(() => take('root', 'retire'));
      const [secondRoot, ...more] = await roots();
      expect(more).to.deep.equal([]);
      expect(secondRoot).not.to.deep.equal(firstRoot);
      for (const { issued } of hosts) verify(issued.tlsChain, [secondRoot!]);
      const gone = { reason: 'scrapped', kind: 'root' } as const;
      expect(await reasonOf(take(gone.kind, 'rollback'))).to.equal('wrong_state');
      await expectNoViolation();
    });

    it('reissues everything below a tainted issuing CA', async () => {
      const hosts = await enrolThrough([authority], 3);
      await acknowledge();
      await take('issuing', 'taint', 'key seen in a backup');
      const renewed = await renewThrough([authority], hosts);
      await acknowledge();
      await eventually(() => take('issuing', 'retire'));
      for (const { issued } of renewed) verify(issued.tlsChain, await roots());
      await expectNoViolation();
    });

    it('replaces enrolment CA and token key: bundles from before still enrol', async () => {
      const [before] = await mintBundles(authority);
      for (const kind of ['enrolment', 'token'] as const) {
        await take(kind, 'prepare');
        if (kind === 'enrolment') await eventually(() => take(kind, 'publish'));
        await eventually(() => take(kind, 'activate'));
      }
      const [after] = await mintBundles(authority);
      const hosts = [await enroll(authority, before!), await enroll(authority, after!)];
      expect(await reasonOf(take('token', 'retire'))).to.equal('gate_shut');
      await renewThrough([authority], hosts);
      fixture.clock.advance(2 * 3_600_000);
      await eventually(() => take('token', 'retire'));
      await expectNoViolation();
    });

    async function enrolThrough(replicas: readonly Authority[], count: number) {
      const bundles = await mintBundles(authority, { count });
      const hosts: TestHost[] = [];
      for (const [index, bundle] of bundles.entries()) {
        const replica = replicas[index % replicas.length]!;
        const host = await enroll(replica, bundle);
        await confirm(replica, host);
        hosts.push(host);
      }
      return hosts;
    }

    async function renewThrough(replicas: readonly Authority[], hosts: readonly TestHost[]) {
      const renewed: TestHost[] = [];
      for (const [index, host] of hosts.entries()) {
        const replica = replicas[(index + 1) % replicas.length]!;
        const next = await renew(replica, host);
        await confirm(replica, next);
        renewed.push(next);
      }
      return renewed;
    }

    async function take(kind: RotationKind, step: RotationStep, reason?: string): Promise<void> {
      await authority.rotation.advance({
        kind,
        step,
        caller: { name: 'owner' },
        ...(reason === undefined ? {} : { force: { reason } }),
      });
    }

    /** Followers are tested elsewhere: here every host has put the newest bundle to use. */
    async function acknowledge(): Promise<void> {
      await authority.context.store.transact(async ({ queries }) => {
        const { newest } = await queries
          .selectFrom('bundle')
          .select((each) => each.fn.max<number>('seq').as('newest'))
          .executeTakeFirstOrThrow();
        await queries.updateTable('agent').set({ bundle_ack: newest }).execute();
      });
    }

    async function roots(): Promise<readonly Uint8Array[]> {
      const row = await authority.context.store.queries
        .selectFrom('bundle')
        .select('document')
        .orderBy('seq', 'desc')
        .limit(1)
        .executeTakeFirstOrThrow();
      return readBundle(row.document).roots;
    }

    async function issuerOf({ serial }: TestHost): Promise<Uint8Array> {
      const { issuer } = await authority.context.store.queries
        .selectFrom('certificate')
        .where('serial', '=', serial)
        .select('issuer')
        .executeTakeFirstOrThrow();
      return issuer;
    }

    function verify(chain: readonly Uint8Array[], trusted: readonly Uint8Array[]): void {
      verifyChain({
        certificates: chain,
        anchors: createTrustAnchors(trusted.map(parseCertificate)),
        now: fixture.clock.now(),
        purpose: 'client',
      });
    }

    async function expectNoViolation(): Promise<void> {
      const { queries } = authority.context.store;
      expect(await checkInvariants(queries, { now: fixture.clock.now() })).to.deep.equal([]);
    }
  });
});

/** Replicas tell in the background what they have changed to; a gate opens when all have. */
async function eventually(step: () => Promise<void>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const reason = await reasonOf(step());
    if (reason === undefined) return;
    if (reason !== 'gate_shut') throw new Error(`refused: ${reason}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  await step();
}

async function reasonOf(attempt: Promise<void>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    if (error instanceof ServiceError) return error.reason;
    throw error;
  }
}
