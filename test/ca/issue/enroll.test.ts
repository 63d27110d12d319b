import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import type { Authority } from '../../../src/ca/index.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { createCertificateRequest, parseCertificate, spiffeIdOf } from '../../../src/pki/index.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { forEachVacantStore } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  csr,
  enroll,
  mintBundles,
  reasonOf,
} from './authority-fixture.ts';

describe('enrolment', () => {
  forEachVacantStore((_name, place) => {
    let fixture: AuthorityFixture;
    let authority: Authority;
    beforeEach(async function () {
      this.timeout(60_000);
      fixture = await authorityOn(place());
      ({ authority } = fixture);
    });
    afterEach(() => fixture.close());

    const count = async (table: 'agent' | 'certificate' | 'redemption' | 'audit' | 'token') => {
      const { queries } = authority.context.store;
      const { total } = await queries
        .selectFrom(table)
        .select((row) => row.fn.countAll().as('total'))
        .executeTakeFirstOrThrow();
      return Number(total);
    };
    const lastAudit = () =>
      authority.context.store.queries
        .selectFrom('audit')
        .selectAll()
        .orderBy('seq', 'desc')
        .limit(1)
        .executeTakeFirstOrThrow();

    it('gives a host an identity of its own, with all it needs to go on', async () => {
      const [bundle] = await mintBundles(authority, { properties: { cluster: 'blue' } });
      const decryption = generateKeyPair('ecdsa-p256');
      const { issued, keys } = await enroll(authority, bundle!, { decryption });
      const leaf = parseCertificate(issued.tlsChain[0]!);
      expect(spiffeIdOf(leaf)).to.equal(issued.spiffeId);
      expect(issued.spiffeId).to.match(
        /^spiffe:\/\/example\.org\/agent\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/,
      );
      expect(leaf.publicKey.equals(keys.publicKey)).to.equal(true);
      expect(leaf.keyUsage).to.deep.equal(['digitalSignature']);
      expect(leaf.extendedKeyUsage).to.have.members(['serverAuth', 'clientAuth']);
      expect(leaf.notAfter.getTime() - fixture.clock.now().getTime()).to.equal(86_400_000);
      expect(leaf.notBefore.getTime()).to.equal(fixture.clock.now().getTime() - 300_000);
      const sealing = parseCertificate(issued.decryptionChain[0]!);
      expect(sealing.keyUsage).to.deep.equal(['keyAgreement']);
      expect(sealing.subjectAltNames.uris).to.deep.equal([issued.spiffeId]);
      expect(issued.properties).to.deep.equal({ cluster: 'blue' });
      expect(issued).to.include({ active: true, generation: 1, replayed: false });
      expect(await lastAudit()).to.include({
        action: 'enroll',
        outcome: 'done',
        subject: issued.spiffeId,
      });
    });

    it('takes nothing from a request but its key', async () => {
      const [bundle] = await mintBundles(authority);
      const keys = generateKeyPair('ecdsa-p256');
      const tlsRequest = createCertificateRequest({
        ...keys,
        subjectAltNames: {
          uris: ['spiffe://example.org/manager/1'],
          dnsNames: ['bank.example'],
        },
      });
      const { issued } = await enroll(authority, bundle!, { keys, tlsRequest });
      const { subjectAltNames } = parseCertificate(issued.tlsChain[0]!);
      expect(subjectAltNames.uris).to.deep.equal([issued.spiffeId]);
      expect(subjectAltNames.dnsNames).to.deep.equal([]);
    });

    it('answers the same token and key with the same bytes, also after a restart', async () => {
      const [bundle] = await mintBundles(authority);
      const keys = generateKeyPair('ecdsa-p256');
      const decryption = generateKeyPair('ecdsa-p256');
      const first = await enroll(authority, bundle!, { keys, decryption });
      const audited = await count('audit');
      authority = await fixture.reopen();
      const again = await enroll(authority, bundle!, { keys, decryption });
      expect(again.issued).to.deep.equal({ ...first.issued, replayed: true });
      expect(await count('agent')).to.equal(1);
      // The replica made itself a new certificate, and nothing else happened.
      expect(await count('audit')).to.be.at.most(audited + 2);
    });

    it('answers equal requests that come at once equally', async () => {
      const [bundle] = await mintBundles(authority);
      const keys = generateKeyPair('ecdsa-p256');
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => enroll(authority, bundle!, { keys })),
      );
      const texts = new Set(answers.map(({ issued }) => issued.renewalToken));
      expect(texts.size).to.equal(1);
      expect(await count('agent')).to.equal(1);
    });

    it('lets exactly one of many keys use a token', async () => {
      const [bundle] = await mintBundles(authority);
      const outcomes = await Promise.all(
        Array.from({ length: 12 }, () =>
          enroll(authority, bundle!).then(
            () => 'enrolled',
            (error: unknown) => reasonOf(Promise.reject(error as Error)),
          ),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === 'enrolled')).to.have.length(1);
      expect(outcomes.filter((outcome) => outcome === 'token_spent')).to.have.length(11);
      expect(await count('agent')).to.equal(1);
    });

    it('lets a token be used as often as its cap says', async () => {
      const [bundle] = await mintBundles(authority, { cap: 3 });
      const outcomes = await Promise.all(
        Array.from({ length: 5 }, () =>
          enroll(authority, bundle!).then(
            ({ issued }) => issued.spiffeId,
            () => undefined,
          ),
        ),
      );
      const enrolled = outcomes.filter((outcome) => outcome !== undefined);
      expect(new Set(enrolled).size).to.equal(3);
      expect(await reasonOf(enroll(authority, bundle!))).to.equal('token_spent');
    });

    it('gives DNS names that the token has and the policy allows', async () => {
      await putPolicy(authority, 'web', {
        match: { roles: ['service'], properties: { tier: '*' } },
        priority: 10,
        dnsNames: ['*.apps.example.org'],
        activation: 'administrator',
        certificateSeconds: 3600,
      });
      const options = {
        role: 'service',
        properties: { tier: 'front', dns: 'a.apps.example.org, b.apps.example.org' },
      } as const;
      const [bundle] = await mintBundles(authority, options);
      const { issued } = await enroll(authority, bundle!);
      const leaf = parseCertificate(issued.tlsChain[0]!);
      expect(leaf.subjectAltNames.dnsNames).to.deep.equal([
        'a.apps.example.org',
        'b.apps.example.org',
      ]);
      expect(issued.active).to.equal(false);
      expect(leaf.notAfter.getTime() - fixture.clock.now().getTime()).to.equal(3_600_000);
      const [foreign] = await mintBundles(authority, {
        role: 'service',
        properties: { tier: 'front', dns: 'a.b.apps.example.org' },
      });
      expect(await reasonOf(enroll(authority, foreign!))).to.equal('dns_not_allowed');
    });

    describe('refuses, and writes nothing but the audit row,', () => {
      const refusals: readonly {
        readonly name: string;
        readonly reason: string;
        readonly audited: boolean;
        readonly attempt: () => Promise<unknown>;
      }[] = [
        {
          name: 'a text that is no token',
          reason: 'token_malformed',
          audited: false,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            return enroll(authority, { ...bundle!, token: 'sk1.AAAA.BBBB' });
          },
        },
        {
          name: 'a token with another signature',
          reason: 'token_forged',
          audited: false,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            const end = bundle!.token.lastIndexOf('.') + 1;
            const forged = bundle!.token.slice(0, end) + randomBytes(64).toString('base64url');
            return enroll(authority, { ...bundle!, token: forged });
          },
        },
        {
          name: 'a token of another authority',
          reason: 'token_forged',
          audited: false,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            const payload = Buffer.from(bundle!.token.split('.')[1]!, 'base64url');
            randomBytes(8).copy(payload, 1);
            const [prefix, , signature] = bundle!.token.split('.');
            const token = [prefix, payload.toString('base64url'), signature].join('.');
            return enroll(authority, { ...bundle!, token });
          },
        },
        {
          name: 'an expired token',
          reason: 'token_expired',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority, { lifetimeMs: 60_000 });
            fixture.clock.advance(60_000);
            return enroll(authority, bundle!);
          },
        },
        {
          name: 'a token that expired long ago',
          reason: 'token_expired',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority, { lifetimeMs: 60_000 });
            fixture.clock.advance(4_000_000);
            return enroll(authority, bundle!);
          },
        },
        {
          name: 'a revoked token',
          reason: 'token_revoked',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            await authority.context.store.transact(async ({ queries, now }) => {
              await queries
                .updateTable('token')
                .set({ state: 'revoked', revoked_at: now, revoked_by: 'owner' })
                .execute();
            });
            return enroll(authority, bundle!);
          },
        },
        {
          name: 'a renewal token',
          reason: 'token_kind',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            const { issued } = await enroll(authority, bundle!);
            return enroll(authority, { ...bundle!, token: issued.renewalToken });
          },
        },
        {
          name: 'a request signed by another key',
          reason: 'request_signature',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            const { publicKey } = generateKeyPair('ecdsa-p256');
            const { privateKey } = generateKeyPair('ecdsa-p256');
            return enroll(authority, bundle!, { tlsRequest: csr({ publicKey, privateKey }) });
          },
        },
        {
          name: 'a request that is no request',
          reason: 'request_malformed',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            return enroll(authority, bundle!, { tlsRequest: randomBytes(300) });
          },
        },
        {
          name: 'a request of 20 KiB',
          reason: 'request_malformed',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            return enroll(authority, bundle!, { tlsRequest: randomBytes(20_480) });
          },
        },
        {
          name: 'a key that the policy does not allow',
          reason: 'key_not_allowed',
          audited: true,
          attempt: async () => {
            await putPolicy(authority, 'strict', {
              match: { roles: ['agent'] },
              priority: 1,
              tlsKeys: ['ecdsa-p384'],
            });
            const [bundle] = await mintBundles(authority);
            return enroll(authority, bundle!);
          },
        },
        {
          name: 'a decryption key that cannot decrypt',
          reason: 'key_not_allowed',
          audited: true,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            return enroll(authority, bundle!, { decryption: generateKeyPair('ed25519') });
          },
        },
        {
          name: 'a peer without any credential',
          reason: 'credential_missing',
          audited: false,
          attempt: async () => {
            const [bundle] = await mintBundles(authority);
            return enroll(authority, bundle!, { peer: { kind: 'none' } });
          },
        },
      ];
      for (const { name, reason, audited, attempt } of refusals) {
        it(name, async () => {
          const before = { agents: 0, certificates: 0, redemptions: 0 };
          let seq = 0;
          const refused = reasonOf(
            attempt().catch(async (error: unknown) => {
              seq = (await lastAudit()).seq;
              throw error;
            }),
          );
          expect(await refused).to.equal(reason);
          const { queries } = authority.context.store;
          const refusals = await queries
            .selectFrom('audit')
            .selectAll()
            .where('outcome', '=', 'refused')
            .execute();
          expect(refusals).to.have.length(audited ? 1 : 0);
          if (audited) {
            expect(JSON.parse(refusals[0]!.details)).to.include({ reason });
            expect(refusals[0]!.seq).to.equal(seq);
          }
          // A renewal token came from an enrolment that was in order.
          const expected = reason === 'token_kind' ? 1 : 0;
          expect(await count('agent')).to.equal(before.agents + expected);
          expect(await count('redemption')).to.equal(before.redemptions + expected);
        });
      }

      it('with one and the same answer', async () => {
        const answers = new Set<string>();
        for (const { attempt } of refusals.slice(0, 6)) {
          const error: unknown = await attempt().catch((reason: unknown) => reason);
          expect(error).to.be.instanceOf(ServiceError);
          if (error instanceof ServiceError) {
            answers.add(`${error.status} ${error.reason} ${error.message}`);
          }
        }
        expect(answers.size).to.equal(1);
      });
    });

    it('does not let failures of one source keep others out, nor a fleet behind one address', async () => {
      const bundles = await mintBundles(authority, { count: 20 });
      const forged = { ...bundles[0]!, token: `sk1.${'A'.repeat(90)}.${'A'.repeat(86)}` };
      const spare = generateKeyPair('ecdsa-p256');
      let busy = 0;
      for (let index = 0; index < 2200; index += 1) {
        const error: unknown = await enroll(authority, forged, {
          keys: spare,
          tlsRequest: randomBytes(8),
          source: '198.51.100.9',
        }).catch((reason: unknown) => reason);
        if (error instanceof ServiceError && error.status === 'RESOURCE_EXHAUSTED') {
          busy += 1;
          expect(error.retryAfterMs).to.be.greaterThan(0);
        }
      }
      expect(busy).to.be.greaterThan(0);
      const enrolled = await Promise.all(
        bundles.map((bundle) => enroll(authority, bundle, { source: '192.0.2.7' })),
      );
      expect(enrolled).to.have.length(20);
    });
  });
});

async function putPolicy(authority: Authority, name: string, document: object): Promise<void> {
  const { issuancePolicy } = await import('../../../src/ca/policy/policy.ts');
  await authority.context.store.transact(async ({ queries, now }) => {
    await queries
      .insertInto('policy')
      .values({
        name,
        version: 1,
        document: JSON.stringify(issuancePolicy.parse(document)),
        created_at: now,
        created_by: 'owner',
      })
      .execute();
  });
}
