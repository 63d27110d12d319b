import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { Refused } from '../../../src/ca/issue/refusal.ts';
import { restoreStore } from '../../../src/ca/store/open.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { parseCertificate } from '../../../src/pki/index.ts';
import { rejection } from '../support/rejection.ts';
import { enrollDeed, type Given, mint, perform, renewDeed } from './deeds.ts';
import { makeTemplate, sqliteHomes, type Template } from './homes.ts';
import { type Home, openReplica } from './replica.ts';
import { expectSound } from './soundness.ts';

describe('an authority that is restored from a backup', function () {
  this.timeout(60_000);
  let template: Template;
  let home: Home;
  before(async () => {
    template = await makeTemplate(sqliteHomes);
    home = await sqliteHomes.copy(template.home);
  });
  after(async () => {
    await sqliteHomes.remove(home);
    await sqliteHomes.remove(template.home);
  });

  it('knows nothing of what came after it, trusts none of it, and goes on', async () => {
    const backup = join(home.directory, 'backup');
    const newKey = () => generateKeyPair('ecdsa-p256');
    const [first, second] = template.tokens;
    const lostKeys = newKey();
    const before = await openReplica(home);
    await before.context.store.backup(backup);
    const lost = (await perform(before, enrollDeed(first!, lostKeys))) as Given;
    await before.close();

    const { epoch, previousEpoch } = await restoreStore(
      { url: home.url, now: () => new Date(), log: pino({ level: 'silent' }) },
      { from: backup, by: 'owner', why: 'test', random: (length) => randomBytes(length) },
    );
    const after = await openReplica(home);
    try {
      expect(after.problems()).to.deep.equal([]);
      // The first token was used in the time that was lost, and who knows about the second.
      for (const deed of [
        renewDeed(lost, lostKeys, newKey()),
        enrollDeed(first!, newKey()),
        enrollDeed(second!, newKey()),
      ]) {
        expect(await rejection(perform(after, deed)), deed.kind).to.be.instanceOf(Refused);
      }
      // What the backup knew goes on; all that is new is of the new epoch.
      const { given, keys } = template;
      const [fresh] = await mint(after, { key: 'after', count: 1 });
      for (const deed of [renewDeed(given, keys, newKey()), enrollDeed(fresh!, newKey())]) {
        const { leaf } = (await perform(after, deed)) as Given;
        const serial = Buffer.from(parseCertificate(leaf).serialNumber).toString('hex');
        expect(serial.startsWith(epoch)).to.equal(true);
      }
      const old = Buffer.from(parseCertificate(lost.leaf).serialNumber).toString('hex');
      expect(old.startsWith(previousEpoch)).to.equal(true);
    } finally {
      await after.close();
    }
    await expectSound(home);
  });
});
