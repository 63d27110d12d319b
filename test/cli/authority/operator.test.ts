import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { run } from '../../../src/cli/program.ts';
import { type BuiltCommand, type Finished, needsBuild, sidekey } from '../built-command.ts';
import { BuiltSystem } from '../built-system.ts';
import { freePort } from '../../support/free-port.ts';

describe('an authority by its commands alone', function () {
  this.timeout(120_000);
  let system: BuiltSystem;
  let authority: BuiltCommand;
  let host: BuiltCommand;
  let port: number;

  const path = (name: string): string => system.path(name);
  const done = (...argv: readonly string[]): Promise<string> => system.run(...argv);
  const owner = (): readonly string[] => ['--authority', `unix:${path('authority.sock')}`];
  const remote = (sidecar: string): readonly string[] => [
    ...['--authority', `127.0.0.1:${String(port)}`],
    ...['--sidecar', `unix:${path(`${sidecar}.sock`)}`],
  ];
  const refused = async (...argv: readonly string[]): Promise<Finished> => {
    const finished = await sidekey(argv);
    expect(finished.code, finished.out).to.equal(1);
    return finished;
  };

  before(async function () {
    needsBuild(this);
    system = new BuiltSystem();
    port = await freePort();
    system.write(
      'authority.yaml',
      `authority: { trustDomain: example.org, listen: "127.0.0.1:${String(port)}" }`,
    );
  });

  after(() => (system as BuiltSystem | undefined)?.close());

  it('init makes one, once, and check finds it sound', async () => {
    await writeFile(path('none.yaml'), 'listen: []\n');
    const config = ['--config', path('authority.yaml')];
    expect((await refused('authority', 'init', '--config', path('none.yaml'))).err).to.contain(
      'none.yaml',
    );
    const made = JSON.parse(await done('authority', 'init', ...config, '--output', 'json')) as {
      rootFingerprint256: string;
    };
    expect(made.rootFingerprint256).to.match(/^[0-9a-f]{64}$/u);
    expect((await refused('authority', 'init', ...config)).err).to.contain('already holds');
    expect(await done('authority', 'check', ...config)).to.equal('everything holds\n');
  });

  it('refuses to make keys where others could read them', async () => {
    process.env['SSLKEYLOGFILE'] = '/tmp/x';
    let err = '';
    try {
      const output = { writeOut: () => undefined, writeErr: (text: string) => (err += text) };
      expect(await run(['authority', 'init', '--config', path('authority.yaml')], output)).to.equal(
        1,
      );
    } finally {
      delete process.env['SSLKEYLOGFILE'];
    }
    expect(err).to.contain('SSLKEYLOGFILE');
  });

  it('serves its owner, and checks itself while it runs', async () => {
    authority = await system.startSidecar(path('authority.yaml'));
    expect(await done('authority', 'status', ...owner())).to.match(/issuing +yes/u);
    expect(await done('authority', 'check', ...owner())).to.equal('everything holds\n');
    const offline = await refused('authority', 'check', '--config', path('authority.yaml'));
    expect(offline.err).to.match(/in use|another process/u);
  });

  it('enroll has a sidecar enrol, once, with a bundle that is sound', async () => {
    const out = path('bundles');
    await done(
      ...['token', 'create', ...owner(), '--role', 'operator'],
      '--name',
      'ops',
      '--out',
      out,
    );
    await system.startHost('ops');
    const enroll = (bundle: string, sidecar: string): readonly string[] => [
      ...['enroll', '--bundle', bundle, '--sidecar', `unix:${path(`${sidecar}.sock`)}`],
    ];
    await writeFile(path('bad.bundle'), 'not a bundle');
    expect((await refused(...enroll(path('bad.bundle'), 'ops'))).err).to.match(
      /^sidekey: .*bundle/u,
    );
    const bundle = join(out, 'ops.bundle');
    expect(await done(...enroll(bundle, 'ops'))).to.match(
      /^enrolled as spiffe:\/\/example\.org\/operator\/\S+, until /u,
    );
    expect(await done(...enroll(bundle, 'ops'))).to.match(/^had enrolled before as /u);
    expect((await refused(...enroll(bundle, 'none'))).err).to.contain('no sidecar answers');
  });

  it('serves an operator over TLS, and writes down who it was', async () => {
    const agents = JSON.parse(
      await done('agents', 'list', ...remote('ops'), '--output', 'json'),
    ) as { role: string; spiffeId: string }[];
    expect(agents.map(({ role }) => role)).to.deep.equal(['operator']);
    await done(
      ...['token', 'create', ...remote('ops'), '--role', 'agent', '--name', 'host'],
      ...['--out', path('bundles')],
    );
    const audit = JSON.parse(await done('audit', 'list', ...owner(), '--output', 'json')) as {
      actor: string;
    }[];
    expect(audit.map(({ actor }) => actor)).to.include(agents[0]!.spiffeId);
  });

  it('refuses everybody else over TLS', async () => {
    host = await system.startHost('host');
    await done(
      ...['enroll', '--bundle', join(path('bundles'), 'host.bundle')],
      ...['--sidecar', `unix:${path('host.sock')}`],
    );
    const { err } = await refused('agents', 'list', ...remote('host'));
    expect(err).to.contain('not_an_operator');
    const backup = await refused('authority', 'backup', ...remote('ops'), '--out', path('x.db'));
    expect(backup.err).to.contain('not_the_owner');
  });

  it('does not take a host for an authority', async () => {
    const listening = /listening (\S+)/u;
    const server = await system.start(
      ['serve', '--sidecar', `unix:${path('host.sock')}`, '--listen', '127.0.0.1:0'],
      listening,
    );
    const [, address = ''] = await server.says(listening);
    const [{ spiffeId }] = JSON.parse(
      await done('agents', 'list', ...owner(), '--role', 'agent', '--output', 'json'),
    ) as [{ spiffeId: string }];
    const { err } = await refused(
      ...['agents', 'list', '--authority', address, '--authority-id', spiffeId],
      ...['--sidecar', `unix:${path('ops.sock')}`],
    );
    expect(err).to.contain(`${spiffeId} is no authority of example.org`);
  });

  it('agents recover lets a host that lost its disk become itself again', async () => {
    const [{ spiffeId }] = JSON.parse(
      await done('agents', 'list', ...owner(), '--role', 'agent', '--output', 'json'),
    ) as [{ spiffeId: string }];
    await host.stop();
    await rm(path('host'), { recursive: true });
    host = await system.startHost('host');
    const out = path('recovery');
    const argv = ['agents', 'recover', spiffeId, ...owner(), '--reason', 'disk lost', '--out', out];
    const bundle = (await done(...argv)).trim();
    const enroll = ['enroll', '--bundle', bundle, '--sidecar', `unix:${path('host.sock')}`];
    expect(await done(...enroll)).to.contain(`enrolled as ${spiffeId}, until `);
  });

  it('a host that was revoked enrols anew, as somebody else', async () => {
    const list = async (state: string) =>
      JSON.parse(
        await done(
          ...['agents', 'list', ...owner(), '--role', 'agent', '--state', state],
          ...['--output', 'json'],
        ),
      ) as { spiffeId: string }[];
    const [{ spiffeId }] = (await list('active')) as [{ spiffeId: string }];
    await done('agents', 'revoke', spiffeId, ...owner(), '--reason', 'keyCompromise');
    const out = path('bundles');
    await done(
      ...['token', 'create', ...owner(), '--role', 'agent', '--name', 'anew', '--out', out],
    );
    const enroll = [
      ...['enroll', '--bundle', join(out, 'anew.bundle')],
      ...['--sidecar', `unix:${path('host.sock')}`],
    ];
    expect(await done(...enroll)).to.match(/^enrolled as /u);
    expect((await list('banned')).map((agent) => agent.spiffeId)).to.deep.equal([spiffeId]);
    const active = await list('active');
    expect(active).to.have.length(1);
    expect(active[0]?.spiffeId).to.not.equal(spiffeId);
  });

  it('doctor finds nothing that hurts', async () => {
    const out = await done(
      ...['doctor', ...owner(), '--reach', `127.0.0.1:${String(port)}`, '--all'],
      ...['--sidecar', `unix:${path('ops.sock')}`],
    );
    expect(out).to.contain('identity ops can sign');
    expect(out).to.contain('takes connections');
    expect(out).to.match(/^warning +backup: the store was never backed up/mu);
  });

  it('restore goes back to a backup, under a new epoch', async () => {
    const copy = path('copy.db');
    await done('authority', 'backup', ...owner(), '--out', copy);
    await authority.stop();
    const config = ['--config', path('authority.yaml')];
    expect(await done('authority', 'check', ...config)).to.equal('everything holds\n');
    const restored = JSON.parse(
      await done(
        ...['authority', 'restore', ...config, '--from', copy, '--reason', 'a test'],
        ...['--output', 'json'],
      ),
    ) as { epoch: string; previousEpoch: string };
    expect(restored.epoch).to.not.equal(restored.previousEpoch);
    await system.startSidecar(path('authority.yaml'));
    const status = await done('authority', 'status', ...owner());
    expect(status).to.contain(`epoch ${restored.epoch}`);
    expect(await done('audit', 'verify', ...owner())).to.match(/^\d+ entries, head /u);
    expect(await done('authority', 'check', ...owner())).to.equal('everything holds\n');
  });
});
