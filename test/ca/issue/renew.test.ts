import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import type { Authority } from '../../../src/ca/index.ts';
import { changeAgentOperation } from '../../../src/ca/agents/change-agent.ts';
import type { AgentAction } from '../../../src/ca/agents/transitions.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import type { IssuingContext } from '../../../src/ca/issue/issuing-context.ts';
import { readHostReport } from '../../../src/ca/tls-policy/host-reports.ts';
import { createTokenMint } from '../../../src/ca/tokens/mint.ts';
import type { TokenKey } from '../../../src/ca/tokens/token-keys.ts';
import { parseToken } from '../../../src/ca/tokens/token.ts';
import { parseCertificate } from '../../../src/pki/index.ts';
import { forEachVacantStore } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  confirm,
  enroll,
  mintBundles,
  readFile,
  reasonOf,
  renew,
  type TestHost,
} from './authority-fixture.ts';

describe('renewal', () => {
  forEachVacantStore((_name, place) => {
    let fixture: AuthorityFixture;
    let authority: Authority;
    let host: TestHost;
    beforeEach(async function () {
      this.timeout(60_000);
      fixture = await authorityOn(place());
      ({ authority } = fixture);
      const [bundle] = await mintBundles(authority, { properties: { cluster: 'blue' } });
      host = await enroll(authority, bundle!);
    });
    afterEach(() => fixture.close());

    const agent = () =>
      authority.context.store.queries
        .selectFrom('agent')
        .selectAll()
        .where('id', '=', host.issued.agentId)
        .executeTakeFirstOrThrow();
    const states = async () => {
      const rows = await authority.context.store.queries
        .selectFrom('certificate')
        .select(['agent_generation', 'state'])
        .where('agent', '=', host.issued.agentId)
        .orderBy('agent_generation')
        .execute();
      return rows.map(({ state }) => state);
    };
    const change = (action: AgentAction) =>
      authority.context.writer.submit(changeAgentOperation, {
        id: host.issued.agentId,
        action,
        by: 'owner',
      });

    it('gives the same identity a new certificate, and keeps the old until the new is used', async () => {
      fixture.clock.advance(60_000);
      const next = await renew(authority, host);
      expect(next.issued.spiffeId).to.equal(host.issued.spiffeId);
      expect(next.issued.generation).to.equal(2);
      expect(next.issued.properties).to.deep.equal({ cluster: 'blue' });
      expect(Buffer.from(next.serial).equals(host.serial)).to.equal(false);
      // The request itself was signed by the first key, which so was seen in use.
      expect(await states()).to.deep.equal(['confirmed', 'issued']);
      await confirm(authority, next);
      expect(await states()).to.deep.equal(['superseded', 'confirmed']);
      const row = await agent();
      expect(Buffer.from(row.current_serial).equals(next.serial)).to.equal(true);
      expect(row.pending_serial).to.equal(null);
    });

    it('goes on through many lifetimes, each token once', async () => {
      let current = host;
      for (let generation = 2; generation < 8; generation += 1) {
        fixture.clock.advance(60_000_000);
        const next = await renew(authority, current);
        await confirm(authority, next);
        expect(next.issued.generation).to.equal(generation);
        expect(await reasonOf(renew(authority, host))).to.equal('clone_suspected');
        await change('release');
        current = next;
      }
      expect((await agent()).spiffe_id).to.equal(host.issued.spiffeId);
    });

    it('answers the same key with the same bytes until the next is used', async () => {
      const keys = generateKeyPair('ecdsa-p256');
      const first = await renew(authority, host, { keys });
      const again = await renew(authority, host, { keys });
      expect(again.issued).to.deep.equal({ ...first.issued, replayed: true });
      await confirm(authority, first);
      const later = await renew(authority, host, { keys });
      expect(later.issued.renewalToken).to.equal(first.issued.renewalToken);
      const second = await renew(authority, first);
      await confirm(authority, second);
      expect(await reasonOf(renew(authority, host, { keys }))).to.equal('certificate_superseded');
    });

    it('quarantines an agent whose spent token comes again with another key', async () => {
      await renew(authority, host);
      expect(await reasonOf(renew(authority, host))).to.equal('clone_suspected');
      expect((await agent()).state).to.equal('quarantined');
      expect(await reasonOf(renew(authority, host))).to.equal('agent_state');
      const { queries } = authority.context.store;
      const rows = await queries.selectFrom('audit').selectAll().orderBy('seq', 'desc').execute();
      const actions = rows.slice(0, 3).map(({ action, outcome }) => `${action} ${outcome}`);
      expect(actions).to.deep.equal(['renew refused', 'agent.quarantine done', 'renew refused']);
    });

    it('lets nobody quarantine an agent without its key', async () => {
      await renew(authority, host);
      const prover = generateKeyPair('ecdsa-p256');
      expect(await reasonOf(renew(authority, host, { prover }))).to.equal('proof_wrong');
      expect((await agent()).state).to.equal('active');
    });

    it('lets exactly one of many keys that race have the token', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, () =>
          renew(authority, host).then(
            () => 'renewed',
            (error: unknown) => reasonOf(Promise.reject(error as Error)),
          ),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === 'renewed')).to.have.length(1);
      expect((await agent()).generation).to.equal(2);
    });

    it('does not need a connection with the certificate', async () => {
      const [bundle] = await mintBundles(authority);
      const peer = authority.identify(bundle!.credential)!;
      const next = await renew(authority, host, { peer });
      expect(next.issued.generation).to.equal(2);
      const prover = generateKeyPair('ecdsa-p256');
      expect(await reasonOf(renew(authority, next, { peer, prover }))).to.equal('proof_wrong');
    });

    it('renews with every kind of key a policy allows', async () => {
      let current = host;
      for (const kind of ['ed25519', 'ecdsa-p384', 'ecdsa-p256'] as const) {
        const keys = generateKeyPair(kind);
        const next = await renew(authority, current, { keys });
        const leaf = parseCertificate(next.issued.tlsChain[0]!);
        expect(leaf.publicKey.equals(keys.publicKey)).to.equal(true);
        if (kind === 'ecdsa-p384') break;
        current = next;
      }
    });

    it('renews after the end of the certificate, within the grace of the policy', async () => {
      const [bundle] = await mintBundles(authority, { lifetimeMs: 20 * 86_400_000 });
      const peer = authority.identify(bundle!.credential)!;
      fixture.clock.advance(6 * 86_400_000);
      const next = await renew(authority, host, { peer });
      expect(next.issued.late).to.equal(true);
      fixture.clock.advance(9 * 86_400_000);
      expect(await reasonOf(renew(authority, next, { peer }))).to.equal('token_expired');
    });

    it('answers again after the end of a certificate that never arrived, within the grace', async () => {
      const [bundle] = await mintBundles(authority, { lifetimeMs: 20 * 86_400_000 });
      const peer = authority.identify(bundle!.credential)!;
      const keys = generateKeyPair('ecdsa-p256');
      const lost = await renew(authority, host, { keys, peer });
      fixture.clock.advance(3 * 86_400_000);
      const again = await renew(authority, host, { keys, peer });
      expect(again.issued.tlsChain).to.deep.equal(lost.issued.tlsChain);
      expect(again.issued.renewalToken).to.equal(lost.issued.renewalToken);
      const next = await renew(authority, again, { peer });
      expect(next.issued.generation).to.equal(3);
      expect((await agent()).state).to.equal('active');
    });

    for (const [action, state] of [
      ['suspend', 'suspended'],
      ['quarantine', 'quarantined'],
      ['retire', 'retired'],
    ] as const) {
      it(`gives an agent that is ${state} nothing`, async () => {
        await change(action);
        const reason = await reasonOf(renew(authority, host));
        expect(reason).to.equal(action === 'retire' ? 'certificate_revoked' : 'agent_state');
        expect((await agent()).generation).to.equal(1);
      });
    }

    it('does not take the certificate of one agent for the token of another', async () => {
      const [bundle] = await mintBundles(authority);
      const other = await enroll(authority, bundle!);
      const attempt = renew(authority, other, { token: host.issued.renewalToken });
      expect(await reasonOf(attempt)).to.equal('wrong_certificate');
      expect((await agent()).generation).to.equal(1);
    });

    it('does not take a former certificate for a new token', async () => {
      const next = await renew(authority, host);
      const attempt = renew(authority, host, { token: next.issued.renewalToken });
      expect(await reasonOf(attempt)).to.equal('wrong_certificate');
    });

    it('does not know certificates that were never issued', async () => {
      const currentSerial = randomBytes(16);
      expect(await reasonOf(renew(authority, host, { currentSerial }))).to.equal(
        'certificate_unknown',
      );
    });

    it('confirms only for who has the key, once', async () => {
      const next = await renew(authority, host);
      const stranger = generateKeyPair('ecdsa-p256');
      expect(await reasonOf(confirm(authority, next, stranger))).to.equal('proof_wrong');
      expect(await states()).to.deep.equal(['confirmed', 'issued']);
      await confirm(authority, next);
      await confirm(authority, next);
      expect(await reasonOf(confirm(authority, host))).to.equal('certificate_superseded');
    });

    it('recovers an agent that lost its keys, and ends the chain it had', async () => {
      const file = await authority.mint.recover({
        key: 'lost',
        agent: host.issued.agentId,
        lifetimeMs: 3_600_000,
        reason: 'disk broke',
        caller: { name: 'owner', source: 'unix' },
      });
      const recovered = await enroll(authority, readFile(file));
      expect(recovered.issued.spiffeId).to.equal(host.issued.spiffeId);
      expect(recovered.issued.generation).to.equal(2);
      expect(await reasonOf(renew(authority, host))).to.equal('token_revoked');
      await confirm(authority, recovered);
      expect(await states()).to.deep.equal(['superseded', 'confirmed']);
      expect(await reasonOf(enroll(authority, readFile(file)))).to.equal('token_spent');
      const next = await renew(authority, recovered);
      expect(next.issued.generation).to.equal(3);
    });

    it('keeps what the host says of itself, and what it said when it says nothing', async () => {
      const report = { version: '1.2.3', hostTime: undefined, listeners: [] };
      const next = await renew(authority, host, { report });
      expect(readHostReport((await agent()).report)?.version).to.equal('1.2.3');
      await renew(authority, next);
      expect(readHostReport((await agent()).report)?.version).to.equal('1.2.3');
    });

    it('recovers with the token key in charge, though it was paused while that was replaced', async () => {
      const { context, rotation } = authority;
      const { tokenKeys } = context;
      const known = { signing: tokenKeys.signing(), all: tokenKeys.all() };
      for (const step of ['prepare', 'activate'] as const) {
        await rotation.advance({
          kind: 'token',
          step,
          caller: { name: 'owner' },
          force: { reason: 'a test' },
        });
      }
      let isCurrent = false;
      const paused: IssuingContext['tokenKeys'] = Object.create(tokenKeys, {
        signing: { value: () => (isCurrent ? tokenKeys.signing() : known.signing) },
        all: { value: () => (isCurrent ? tokenKeys.all() : known.all) },
        find: { value: (id: Uint8Array) => tokenKeys.find(id) },
        signerOf: { value: (key: TokenKey) => tokenKeys.signerOf(key) },
        refresh: {
          value: async () => {
            await tokenKeys.refresh();
            isCurrent = true;
          },
        },
      });
      const { token } = readFile(
        await createTokenMint({ ...context, tokenKeys: paused }).recover({
          key: 'paused',
          agent: host.issued.agentId,
          lifetimeMs: 3_600_000,
          reason: 'disk broke',
          caller: { name: 'owner', source: 'unix' },
        }),
      );
      expect(Buffer.from(parseToken(token)!.keyId)).to.deep.equal(
        Buffer.from(tokenKeys.signing().key.id),
      );
      expect(tokenKeys.signing().key.id).not.to.deep.equal(known.signing.key.id);
    });

    it('gives the same recovery token for the same order', async () => {
      const order = {
        key: 'again',
        agent: host.issued.agentId,
        lifetimeMs: 3_600_000,
        reason: 'disk broke',
        caller: { name: 'owner', source: 'unix' },
      };
      const [first, second] = [
        readFile(await authority.mint.recover(order)),
        readFile(await authority.mint.recover(order)),
      ];
      expect(second.token).to.equal(first.token);
      expect(Buffer.from(second.credential).equals(first.credential)).to.equal(false);
    });
  });
});
