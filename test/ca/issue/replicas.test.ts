import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import type { Authority } from '../../../src/ca/index.ts';
import { CryptoPool } from '../../../src/ca/keys/crypto-pool.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { type OwnedPlace, postgresPlace } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  confirm,
  csr,
  enroll,
  mintBundles,
  readFile,
  reasonOf,
  renew,
} from './authority-fixture.ts';
import { skip } from '../../support/skip.ts';

describe('replicas of an authority on one PostgreSQL', () => {
  let place: OwnedPlace;
  let fixture: AuthorityFixture;
  let replicas: readonly Authority[] = [];
  before(async function () {
    this.timeout(120_000);
    const found = await postgresPlace();
    if ('unavailable' in found) return skip(this, found.unavailable);
    place = found;
    fixture = await authorityOn(place);
    replicas = [fixture.authority, await fixture.replica(), await fixture.replica()];
  });
  after(async function () {
    this.timeout(60_000);
    // The hook of a suite that was skipped has nothing to undo.
    if (replicas.length === 0) return;
    await fixture.close();
    await place.close();
  });

  it('give each of many raced tokens to exactly one key', async function () {
    this.timeout(120_000);
    const bundles = await mintBundles(fixture.authority, { count: 60 });
    const outcomes = await Promise.all(
      bundles.map(async (bundle) => {
        const results = await Promise.all(
          replicas.map((replica) =>
            enroll(replica, bundle).then(
              () => 'enrolled',
              (error: unknown) => reasonOf(Promise.reject(error as Error)),
            ),
          ),
        );
        return results.sort().join(' ');
      }),
    );
    expect(new Set(outcomes)).to.deep.equal(new Set(['enrolled token_spent token_spent']));
    const { queries } = fixture.authority.context.store;
    const agents = await queries.selectFrom('agent').select('source_token').execute();
    expect(
      new Set(agents.map(({ source_token: id }) => Buffer.from(id).toString('hex'))).size,
    ).to.equal(60);
  });

  it('answer one key alike, whichever is asked', async () => {
    const [bundle] = await mintBundles(fixture.authority);
    const keys = generateKeyPair('ecdsa-p256');
    const answers = await Promise.all(
      replicas.map((replica) => enroll(replica, bundle!, { keys })),
    );
    const leaves = answers.map(({ issued }) => Buffer.from(issued.tlsChain[0]!).toString('hex'));
    expect(new Set(leaves).size).to.equal(1);
    expect(new Set(answers.map(({ issued }) => issued.renewalToken)).size).to.equal(1);
  });

  it('renew in turn what others issued', async () => {
    const [bundle] = await mintBundles(fixture.authority);
    let host = await enroll(replicas[0]!, bundle!);
    for (const replica of [...replicas, ...replicas]) {
      host = await renew(replica, host);
      await confirm(replica, host);
    }
    expect(host.issued.generation).to.equal(7);
  });

  it('recover an agent once, whoever is asked', async () => {
    const [bundle] = await mintBundles(fixture.authority);
    const { issued } = await enroll(replicas[0]!, bundle!);
    const file = readFile(
      await replicas[1]!.mint.recover({
        key: 'race',
        agent: issued.agentId,
        lifetimeMs: 3_600_000,
        reason: 'lost',
        caller: { name: 'owner', source: 'unix' },
      }),
    );
    const results = await Promise.all(
      replicas.map((replica) =>
        enroll(replica, file).then(
          () => 'enrolled',
          () => 'refused',
        ),
      ),
    );
    expect(results.filter((result) => result === 'enrolled')).to.have.length(1);
  });
});

describe('threads for signatures', () => {
  it('judge requests as the calling thread does', async () => {
    const keys = generateKeyPair('ecdsa-p256');
    const signer = generateKeyPair('ed25519');
    const pools = [new CryptoPool({ threads: 0 }), new CryptoPool({ threads: 2 })];
    for (const pool of pools) {
      const secret = pool.addKey(signer.privateKey);
      const key = pool.addKey(signer.publicKey);
      const content = randomBytes(40);
      const [signature] = await pool.signAll(secret, 0x0807, [content]);
      const inspect = (tlsRequest: Uint8Array, token = content) =>
        pool.inspect('enroll', {
          token: { key: key.number, content: token, signature: signature! },
          tlsRequest,
          decryptionRequest: undefined,
          proof: undefined,
        });
      const good = await inspect(csr(keys));
      expect(good.ok && good.tls.kind).to.equal('ecdsa-p256');
      expect(await inspect(csr(keys), randomBytes(40))).to.deep.equal({
        ok: false,
        problem: 'token_forged',
      });
      expect(await inspect(randomBytes(100))).to.deep.equal({
        ok: false,
        problem: 'malformed_certificate_request',
      });
      const many = await Promise.all(Array.from({ length: 200 }, () => inspect(csr(keys))));
      expect(many.every(({ ok }) => ok)).to.equal(true);
      await pool.close();
      const late: unknown = await inspect(csr(keys)).catch((error: unknown) => error);
      expect(late).to.be.instanceOf(Error);
    }
  });
});
