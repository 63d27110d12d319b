import { expect } from 'chai';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileWatcher } from '../../src/sidecar/file-watcher.ts';
import { createTestCa, writeIdentity } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar, webIdentity } from './fixture.ts';
import { connectWire, type WireClient, type WireMessage } from './model-callers/wire.ts';

describe('identities and trust while the sidecar runs', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;

  beforeEach(async () => {
    sidecar = await startTestSidecar({
      identities: { web: webIdentity, api: { dnsNames: ['api.example.org'] } },
    });
    wire = connectWire(sidecar.address);
  });

  afterEach(async () => {
    wire.close();
    await sidecar.close();
  });

  async function localIdentity(name: string): Promise<WireMessage> {
    const stream = wire.open();
    stream.send({ client_start: { target_name: 'a.example.org', identity_name: name } });
    const response = await stream.receive();
    stream.cancel();
    return response!['local_identity'] as WireMessage;
  }

  it('takes up a new pair', async () => {
    writeIdentity(sidecar.directory, 'api', sidecar.ca.issue({ dnsNames: ['new.example.org'] }));
    sidecar.sidecar.reload();
    expect(await localIdentity('api')).to.include({ hostname: 'new.example.org' });
    expect(
      await sidecar.metric('sidekey_reloads_total{kind="identity",name="api",result="reloaded"}'),
    ).to.equal(1);
  });

  it('takes up a new pair by itself when the files change', async () => {
    writeIdentity(sidecar.directory, 'api', sidecar.ca.issue({ dnsNames: ['new.example.org'] }));
    while (!sidecar.log.some(({ msg }) => msg === 'identity reloaded')) await nextTurn();
    expect(await localIdentity('api')).to.include({ hostname: 'new.example.org' });
  });

  for (const { name, spoil } of [
    {
      name: 'of which the key is another',
      spoil: (directory: string) => {
        const other = createTestCa().issue({ dnsNames: ['x.example.org'] });
        writeFileSync(join(directory, 'api.key'), other.privateKeyPem);
      },
    },
    {
      name: 'of which the certificate is broken',
      spoil: (directory: string) => {
        writeFileSync(
          join(directory, 'api.pem'),
          '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
        );
      },
    },
    {
      name: 'of which the key is gone',
      spoil: (directory: string) => {
        rmSync(join(directory, 'api.key'));
      },
    },
  ]) {
    it(`keeps the old pair instead of one ${name}, and says so`, async () => {
      spoil(sidecar.directory);
      sidecar.sidecar.reload();
      sidecar.sidecar.reload();
      expect(await localIdentity('api')).to.include({ hostname: 'api.example.org' });
      expect(await localIdentity('web')).to.include({ spiffe_id: webIdentity.uris![0] });
      const lines = sidecar.log.filter(({ msg }) => msg.startsWith('identity not reloaded'));
      expect(lines).to.have.length(1);
      expect(lines[0]).to.include({ identity: 'api', level: 50 });
      expect(
        await sidecar.metric('sidekey_reloads_total{kind="identity",name="api",result="failed"}'),
      ).to.equal(1);
    });
  }

  it('takes up a pair that was broken for a while', async () => {
    const next = sidecar.ca.issue({ dnsNames: ['new.example.org'] });
    writeFileSync(join(sidecar.directory, 'api.pem'), next.certificatePem);
    sidecar.sidecar.reload();
    writeFileSync(join(sidecar.directory, 'api.key'), next.privateKeyPem);
    sidecar.sidecar.reload();
    expect(await localIdentity('api')).to.include({ hostname: 'new.example.org' });
  });

  it('counts trust bundles', async () => {
    expect(await sidecar.metric('sidekey_trust_generation')).to.equal(1);
    writeFileSync(join(sidecar.directory, 'roots.pem'), createTestCa({ name: 'Another' }).pem);
    sidecar.sidecar.reload();
    sidecar.sidecar.reload();
    expect(await sidecar.metric('sidekey_trust_generation')).to.equal(2);
  });

  it('keeps the old trust bundle instead of a broken one, and says so', async () => {
    writeFileSync(join(sidecar.directory, 'roots.pem'), 'nothing');
    sidecar.sidecar.reload();
    expect(await sidecar.metric('sidekey_trust_generation')).to.equal(1);
    expect(sidecar.log.map(({ msg }) => msg)).to.include(
      'trust bundle not reloaded, the old one stays in use',
    );
  });
});

describe('FileWatcher', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-watch-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  const changes: { name: string; set: (d: string) => string; change: (d: string) => void }[] = [
    {
      name: 'a file is written',
      set: (d) => {
        writeFileSync(join(d, 'f'), '1');
        return join(d, 'f');
      },
      change: (d) => {
        writeFileSync(join(d, 'f'), '2');
      },
    },
    {
      name: 'another file takes its name',
      set: (d) => {
        writeFileSync(join(d, 'f'), '1');
        return join(d, 'f');
      },
      change: (d) => {
        writeFileSync(join(d, 'g'), '2');
        renameSync(join(d, 'g'), join(d, 'f'));
      },
    },
    {
      name: 'a link on the way to it is swapped, as volumes are updated in clusters',
      set: (d) => {
        for (const version of ['v1', 'v2']) {
          mkdirSync(join(d, version));
          writeFileSync(join(d, version, 'f'), version);
        }
        symlinkSync('v1', join(d, 'current'));
        mkdirSync(join(d, 'seen'));
        symlinkSync('../current/f', join(d, 'seen', 'f'));
        return join(d, 'seen', 'f');
      },
      change: (d) => {
        symlinkSync('v2', join(d, 'next'));
        renameSync(join(d, 'next'), join(d, 'current'));
      },
    },
    {
      name: 'it appears',
      set: (d) => join(d, 'f'),
      change: (d) => {
        writeFileSync(join(d, 'f'), '1');
      },
    },
  ];
  for (const { name, set, change } of changes) {
    it(`calls back when ${name}`, async () => {
      const path = set(directory);
      let watcher: FileWatcher | undefined;
      const called = new Promise<void>((resolve) => {
        watcher = new FileWatcher([path], resolve, { settleMs: 1, recheckMs: 1_000_000 });
      });
      change(directory);
      // Watches do not keep the process alive, as nothing in a sidecar's background does.
      const alive = setInterval(() => undefined, 1000);
      await called;
      clearInterval(alive);
      watcher?.close();
    });
  }

  it('calls back from time to time where nothing is reported', async () => {
    const alive = setInterval(() => undefined, 1000);
    let watcher: FileWatcher | undefined;
    await new Promise<void>((resolve) => {
      watcher = new FileWatcher([join(directory, 'no', 'where')], resolve, {
        settleMs: 1,
        recheckMs: 5,
      });
    });
    clearInterval(alive);
    watcher?.close();
  });
});

async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
