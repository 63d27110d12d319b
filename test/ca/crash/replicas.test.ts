import { expect } from 'chai';
import { parseCertificate } from '../../../src/pki/index.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import type { Child } from './child.ts';
import { mint } from './deeds.ts';
import { type Homes, makeTemplate, postgresHomes, type Template } from './homes.ts';
import { raceForTokens, raceToRenew, startReplicas } from './races.ts';
import { type Home, openReplica } from './replica.ts';
import { expectSound } from './soundness.ts';
import { skip } from '../../support/skip.ts';

describe('replicas on one PostgreSQL', function () {
  // As many as asked for take as long as they take.
  this.timeout(process.env['RACES'] === undefined ? 300_000 : 0);
  let homes: Homes;
  let template: Template;
  let home: Home;
  let replicas: readonly Child[] = [];
  const total = { races: 0, won: 0, lost: 0, retried: 0 };

  before(async function () {
    const made = await postgresHomes();
    if ('unavailable' in made) return skip(this, made.unavailable);
    homes = made;
    template = await makeTemplate(homes);
  });
  beforeEach(async () => {
    home = await homes.copy(template.home);
  });
  afterEach(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    replicas = [];
    await expectSound(home);
    await homes.remove(home);
  });
  after(async () => {
    const { races, won, lost, retried } = total;
    // eslint-disable-next-line no-console -- how much was tried is part of the result
    console.log(
      `      ${String(races)} races: ${String(won)} won, ${String(lost)} lost, ${String(retried)} asked again`,
    );
    await homes.remove(template.home);
  });

  const tokens = async (count: number) => {
    const authority = await openReplica(home, 'minter');
    const minted = await mint(authority, { key: 'races', count });
    await authority.close();
    return minted;
  };

  for (const count of [2, 3]) {
    it(`let one host win each token, asked at ${String(count)} at once`, async () => {
      const minted = await tokens(races);
      replicas = await startReplicas(home, Array<number>(count).fill(0));
      await raceForTokens(replicas, minted, total);
    });
  }

  it('do so while the server restarts', async () => {
    const minted = await tokens(40);
    replicas = await startReplicas(home, [0, 0]);
    const server = await sharedPostgres();
    if ('unavailable' in server) throw new Error(server.unavailable);
    const [first, second] = [minted.slice(0, 10), minted.slice(10)];
    await raceForTokens(replicas, first, total);
    await Promise.all([raceForTokens(replicas, second, total), server.restart()]);
  });

  it('do so with clocks that differ', async () => {
    const minted = await tokens(40);
    replicas = await startReplicas(home, [0, 30_000]);
    await raceForTokens(replicas, minted, total);
  });

  it('renew an identity once, though two holders ask at once', async () => {
    replicas = await startReplicas(home, [0, 0]);
    const { given, keys } = template;
    const fates = await raceToRenew(replicas, given, keys);
    expect(fates.filter((fate) => 'done' in fate)).to.have.length(1);
    expect(fates.filter((fate) => 'refused' in fate)).to.deep.equal([
      { refused: 'clone_suspected' },
    ]);
  });

  it('renew no certificate after its revocation has been answered', async () => {
    replicas = await startReplicas(home, [0, 0]);
    const [one, other] = replicas;
    const { given, keys } = template;
    const serial = parseCertificate(given.leaf).serialNumber;
    const revoked = await one!.do({ kind: 'revoke', subject: { kind: 'certificate', serial } });
    expect(revoked).to.have.property('done');
    expect(await raceToRenew([other!], given, keys)).to.deep.equal([
      { refused: 'certificate_revoked' },
    ]);
  });

  it('go on when one of them is stopped, and it does no harm when it comes back', async () => {
    const minted = await tokens(30);
    replicas = await startReplicas(home, [0, 0]);
    const [stopped, working] = replicas;
    const both = raceForTokens(replicas, minted.slice(0, 20), total);
    stopped!.signal('SIGSTOP');
    await raceForTokens([working!], minted.slice(20), total);
    stopped!.signal('SIGCONT');
    await both;
  });
});

/** `make races` asks for many more. */
const races = Math.ceil(Number(process.env['RACES'] ?? 60) / 2);
