import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseEnrolmentBundle } from '../../src/identity/index.ts';
import { FakeAuthority } from './support/fake-authority.ts';
import { eventually, FakeClock, settled } from './support/fake-clock.ts';
import { Hosts } from './support/hosts.ts';

describe('a host with a damaged disk', () => {
  let clock: FakeClock;
  let authority: FakeAuthority;
  let hosts: Hosts;

  beforeEach(() => {
    clock = new FakeClock();
    authority = new FakeAuthority(clock.now);
    hosts = new Hosts();
  });

  afterEach(async () => {
    await hosts.close();
    authority.close();
  });

  const path = (name: string) => join(hosts.directory(), name);

  async function enrolled() {
    const identity = await hosts.open(authority, clock);
    identity.start();
    await identity.enroll(authority.makeBundle());
    await eventually(() => {
      clock.advance(0);
      return [...authority.agents.values()][0]?.confirmed === true;
    });
    await settled();
    return identity;
  }

  const damages: readonly { readonly what: string; readonly damage: (file: string) => void }[] = [
    {
      what: 'empty',
      damage: (file) => {
        truncateSync(file, 0);
      },
    },
    {
      what: 'cut short',
      damage: (file) => {
        truncateSync(file, Math.floor(statSync(file).size / 2));
      },
    },
    {
      what: 'of somebody else',
      damage: (file) => {
        writeFileSync(file, 'hello');
      },
    },
    {
      what: 'flipped in one bit',
      damage: (file) => {
        const bytes = readFileSync(file);
        bytes[bytes.length >> 1]! ^= 1;
        writeFileSync(file, bytes);
      },
    },
    {
      what: 'another file of ours',
      damage: (file) => {
        copyFileSync(path(file.includes('trust') ? 'current' : 'trust'), file);
      },
    },
    {
      what: 'a directory',
      damage: (file) => {
        rmSync(file);
        mkdirSync(file);
      },
    },
    {
      what: 'a symbolic link',
      damage: (file) => {
        rmSync(file);
        symlinkSync('/etc/hostname', file);
      },
    },
    {
      what: 'gone',
      damage: (file) => {
        rmSync(file);
      },
    },
  ];

  for (const name of ['current', 'current.copy', 'trust', 'trust.copy']) {
    for (const { what, damage } of damages) {
      it(`comes back as the same agent when ${name} is ${what}`, async () => {
        const before = await enrolled();
        const { current } = before;
        await before.close();
        damage(path(name));
        const again = await hosts.open(authority, clock);
        again.start();
        expect(again.current?.version).to.equal(current?.version);
        expect(again.trust?.sequence).to.equal(1);
        expect(authority.agents.size).to.equal(1);
      });
    }
  }

  for (const name of ['current', 'trust']) {
    for (const { what, damage } of damages.filter((each) => each.what !== 'a directory')) {
      it(`mends ${name} that is ${what}`, async () => {
        await (await enrolled()).close();
        damage(path(name));
        await (await hosts.open(authority, clock)).close();
        if (what === 'gone') return;
        expect(readFileSync(path(name))).to.deep.equal(readFileSync(path(`${name}.copy`)));
      });
    }
  }

  it('names what is damaged twice, and takes a new bundle', async () => {
    await (await enrolled()).close();
    for (const name of ['current', 'current.copy']) truncateSync(path(name), 100);
    const again = await hosts.open(authority, clock);
    again.start();
    expect(again.status.state).to.equal('waiting for a bundle');
    expect(again.problem).to.match(/identities\/host\/current is cut short: 100 of \d+ bytes/);
    await again.enroll(authority.makeBundle());
    expect(again.status.state).to.equal('enrolled');
    expect(again.problem).to.equal(undefined);
  });

  for (const { what, damage } of damages) {
    it(`asks with the same keys when what was pending is ${what}`, async () => {
      const identity = await enrolled();
      authority.lose = (method) => method === 'renew';
      clock.advance(20 * 3_600_000);
      await eventually(() => authority.renewRequests.length > 0);
      await identity.close();
      authority.lose = () => false;
      damage(path('pending'));
      const again = await hosts.open(authority, clock);
      again.start();
      await eventually(() => {
        clock.advance(100);
        return again.status.renewals === 1;
      });
      const asked = new Set(
        authority.renewRequests.map(({ tlsRequest }) => tlsRequest.toString('hex')),
      );
      expect(asked.size).to.equal(1);
      expect(authority.agents.size).to.equal(1);
    });
  }

  it('leaves nothing unfinished behind, and nothing for others to read', async () => {
    await (await enrolled()).close();
    writeFileSync(path('current.tmp'), 'half of a key');
    await (await hosts.open(authority, clock)).close();
    const names = readdirSync(hosts.directory()).sort();
    expect(names).to.not.include('current.tmp');
    expect(names).to.not.include('pending');
    for (const name of names.filter((each) => each !== 'lock')) {
      expect(statSync(path(name)).mode & 0o077, name).to.equal(0);
    }
    expect(statSync(hosts.directory()).mode & 0o077).to.equal(0);
  });

  it('keeps no private key of a bundle once it has enrolled', async () => {
    const identity = await hosts.open(authority, clock);
    const bundle = authority.makeBundle();
    const { token, credential } = parseEnrolmentBundle(bundle);
    await identity.enroll(bundle);
    await identity.close();
    const key = credential.privateKey.export({ type: 'pkcs8', format: 'der' });
    for (const name of readdirSync(hosts.directory())) {
      const file = readFileSync(path(name));
      // Its middle is the secret itself, in whatever form.
      expect(file.includes(key.subarray(36, 60)), name).to.equal(false);
      expect(file.includes(token), name).to.equal(false);
      expect(file.includes('BEGIN PRIVATE KEY'), name).to.equal(false);
    }
  });
});
