import { cpSync } from 'node:fs';
import { expect } from 'chai';
import { sharedPostgres } from '../../support/postgres.ts';
import { skip } from '../../support/skip.ts';
import { type SoftHsm, startSoftHsm } from '../../ca/keys/soft-hsm.ts';
import { needsBuild } from '../built-command.ts';
import { BuiltSystem } from '../built-system.ts';
import { freePort } from '../../support/free-port.ts';

describe('two replicas of an authority on one PostgreSQL, by their commands', function () {
  this.timeout(120_000);
  let system: BuiltSystem;
  let ports: readonly number[];

  before(async function () {
    needsBuild(this);
    const server = await sharedPostgres();
    if ('unavailable' in server) return skip(this, server.unavailable);
    system = new BuiltSystem();
    ports = [await freePort(), await freePort()];
    system.write('url', await server.createDatabase());
    for (const [index, name] of ['one', 'two'].entries()) {
      system.write(
        `${name}/authority.yaml`,
        'authority:',
        '  trustDomain: example.org',
        `  listen: 127.0.0.1:${String(ports[index])}`,
        `  advertise: [${ports.map((port) => `"127.0.0.1:${String(port)}"`).join(', ')}]`,
        '  store: { urlFile: ../url }',
        '  http: { address: 127.0.0.1:0 }',
      );
    }
  });

  after(() => (system as BuiltSystem | undefined)?.close());

  const owner = (name: string) => ['--authority', `unix:${system.path(`${name}/authority.sock`)}`];

  it('serve one fleet, and go on when one of them is killed', async () => {
    await system.run('authority', 'init', '--config', system.path('one/authority.yaml'));
    cpSync(system.path('one/state/authority/keys'), system.path('two/state/authority/keys'), {
      recursive: true,
    });
    const one = await system.startSidecar(system.path('one/authority.yaml'));
    await system.startSidecar(system.path('two/authority.yaml'));
    const bundles = system.path('bundles');
    await system.run(
      ...['token', 'create', ...owner('one'), '--role', 'service', '--count', '3'],
      ...['--name', 'host', '--out', bundles],
    );
    const enroll = async (name: string, bundle: string) => {
      await system.startHost(name);
      return await system.run(
        ...['enroll', '--bundle', `${bundles}/${bundle}.bundle`],
        ...['--sidecar', `unix:${system.path(`${name}.sock`)}`],
      );
    };
    await enroll('web', 'host-00001');
    await enroll('till', 'host-00002');
    await one.stop('SIGKILL');
    expect(await enroll('late', 'host-00003')).to.match(/^enrolled as spiffe:/u);
    const agents = JSON.parse(
      await system.run('agents', 'list', ...owner('two'), '--output', 'json'),
    ) as readonly { readonly spiffeId: string }[];
    expect(agents).to.have.length(3);
    await talksUntilRevoked(system, owner('two'));
    expect(await system.run('authority', 'check', ...owner('two'))).to.equal('everything holds\n');
    expect(await system.run('audit', 'verify', ...owner('two'))).to.match(/^\d+ entries, head /u);
    const back = await system.startSidecar(system.path('one/authority.yaml'));
    expect(await system.run('authority', 'status', ...owner('one'))).to.match(/issuing +yes/u);
    await back.stop();
  });
});

describe('an authority whose keys are on a PKCS #11 token, by its commands', function () {
  this.timeout(120_000);
  let system: BuiltSystem;
  let tokens: SoftHsm | undefined;
  let port: number;

  before(async function () {
    needsBuild(this);
    const started = startSoftHsm();
    if ('unavailable' in started) return skip(this, started.unavailable);
    tokens = started;
    system = new BuiltSystem();
    port = await freePort();
    const { tokenLabel, pinPath } = tokens.token('ca');
    system.write(
      'authority.yaml',
      'authority:',
      '  trustDomain: example.org',
      `  listen: 127.0.0.1:${String(port)}`,
      `  keys: { kind: pkcs11, module: ${tokens.modulePath}, tokenLabel: ${tokenLabel}, pinFile: ${pinPath} }`,
    );
  });

  after(async () => {
    await (system as BuiltSystem | undefined)?.close();
    tokens?.remove();
  });

  it('serves a fleet without a CA key in any file', async () => {
    const owner = ['--authority', `unix:${system.path('authority.sock')}`];
    await system.run('authority', 'init', '--config', system.path('authority.yaml'));
    await system.startSidecar(system.path('authority.yaml'));
    const bundles = system.path('bundles');
    await system.run(
      ...['token', 'create', ...owner, '--role', 'service', '--count', '2'],
      ...['--name', 'host', '--out', bundles],
    );
    for (const [name, bundle] of [
      ['web', 'host-00001'],
      ['till', 'host-00002'],
    ] as const) {
      await system.startHost(name);
      await system.run(
        ...['enroll', '--bundle', `${bundles}/${bundle}.bundle`],
        ...['--sidecar', `unix:${system.path(`${name}.sock`)}`],
      );
    }
    for (const step of ['prepare', 'publish', 'activate']) {
      await until(() => system.run('rotate', step, 'issuing', ...owner));
    }
    await talksUntilRevoked(system, owner);
    expect(await system.run('authority', 'check', ...owner)).to.equal('everything holds\n');
  });
});

/** Hosts `till` and `web` talk; `till` is revoked; its connection ends. */
async function talksUntilRevoked(system: BuiltSystem, owner: readonly string[]): Promise<void> {
  const idOf = async (name: string) => {
    const shown = await system.run(
      ...['identity', 'show', name, '--sidecar', `unix:${system.path(`${name}.sock`)}`],
    );
    return /^SPIFFE ID +(\S+)$/mu.exec(shown)?.[1] ?? '';
  };
  const [web, till] = [await idOf('web'), await idOf('till')];
  const server = await system.start(
    [
      ...['serve', '--sidecar', `unix:${system.path('web.sock')}`],
      ...['--listen', '127.0.0.1:0', '--client-auth', 'require'],
    ],
    /listening (\S+)/u,
  );
  const [, address = ''] = await server.says(/listening (\S+)/u);
  const client = await system.start(
    [
      ...['connect', address, '--sidecar', `unix:${system.path('till.sock')}`],
      ...['--target-identity', web, '--close-after', 'never', '--show'],
    ],
    /(?:)/u,
  );
  client.child.stdin.write('fourteen kilograms\n');
  await client.says(/fourteen kilograms/u);
  await system.run('agents', 'revoke', till, ...owner, '--reason', 'keyCompromise');
  const { err } = await client.finished;
  expect(err).to.match(/certificate_revoked|identity_revoked/u);
}

async function until<Result>(attempt: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Error) || !error.message.includes('has to wait')) throw error;
    }
  }
}
