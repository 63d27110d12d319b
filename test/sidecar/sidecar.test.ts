import { credentials, Metadata } from '@grpc/grpc-js';
import { expect } from 'chai';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ListIdentitiesResponse,
  WorkloadServiceClient,
} from '../../src/gen/sidekey/v1/workload.ts';
import {
  checkSidecar,
  ConfigurationError,
  parseSidecarConfig,
  startSidecar,
} from '../../src/sidecar/index.ts';
import { createTestCa, writeIdentity } from '../support/test-ca.ts';
import { memoryLog, startTestSidecar, type TestSidecar, webIdentity } from './fixture.ts';
import { connectWire, type WireClient, type WireStream } from './model-callers/wire.ts';

const token = 'web-token-0123456789';

describe('startSidecar', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-start-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('lists everything that is wrong with the files', () => {
    const ca = createTestCa();
    writeIdentity(directory, 'a', ca.issue({ dnsNames: ['a.example.org'] }));
    writeIdentity(directory, 'b', ca.issue({ dnsNames: ['b.example.org'] }));
    const config = parseSidecarConfig(
      `listen: [{ address: "unix:./s", allow: [{ tokenFile: t, identities: [a] }] }]
identities:
  a: { certificate: a.pem, privateKey: b.key }
  b: { certificate: none.pem, privateKey: b.key }
  c: { certificate: b.key, privateKey: b.pem }
trust: { bundle: a.key }
`,
      join(directory, 'c.yaml'),
    );
    try {
      checkSidecar(config);
      expect.fail('it is accepted');
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      expect(error.problems).to.have.length(5);
      expect(error.problems[0]).to.contain('token file');
      expect(error.problems[1])
        .to.contain('identity a')
        .and.contain('is not the key of the first certificate');
      expect(error.problems[2]).to.contain('identity b').and.contain('none.pem');
      expect(error.problems[3]).to.contain('identity c').and.contain('b.key');
      expect(error.problems[4]).to.contain('trust bundle').and.contain('a.key');
    }
  });

  it('leaves nothing behind if one of its listeners cannot be had', async () => {
    const ca = createTestCa();
    writeIdentity(directory, 'a', ca.issue({ dnsNames: ['a.example.org'] }));
    writeFileSync(join(directory, 'roots.pem'), ca.pem);
    writeFileSync(join(directory, 'taken'), '');
    const config = parseSidecarConfig(
      `listen: [{ address: "unix:./s" }, { address: "unix:./taken" }]
identities: { a: { certificate: a.pem, privateKey: a.key } }
trust: { bundle: roots.pem }
`,
      join(directory, 'c.yaml'),
    );
    let message = '';
    try {
      await startSidecar(config, { log: memoryLog().log });
    } catch (error) {
      message = String(error);
    }
    expect(message).to.contain('is not a socket');
    const socket = connect({ path: join(directory, 's') });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).to.equal('ENOENT');
  });
});

describe('a sidecar', () => {
  let sidecar: TestSidecar;
  let wire: WireClient;

  afterEach(async () => {
    wire.close();
    await sidecar.close();
  });

  async function start(options: Parameters<typeof startTestSidecar>[0]): Promise<void> {
    sidecar = await startTestSidecar(options);
    wire = connectWire(sidecar.address);
  }

  async function admin(path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://${sidecar.sidecar.adminAddress ?? ''}${path}`);
    return { status: response.status, text: await response.text() };
  }

  describe('with callers', () => {
    const withToken = {
      identities: { web: webIdentity, api: { dnsNames: ['api.example.org'] } },
      allow: '[{ tokenFile: ./token, identities: [api] }]',
      prepare: (directory: string) => {
        writeFileSync(join(directory, 'token'), token);
      },
    };

    async function startClient(
      fields: object,
      mechanisms: object[] = [],
    ): Promise<Record<string, any>> {
      const stream = wire.open();
      stream.send({
        client_start: { target_name: 'a.example.org', ...fields },
        auth_mechanisms: mechanisms,
      });
      const response = await stream.receive();
      stream.cancel();
      return response!;
    }

    it('lets a token use its identity, also as the default', async () => {
      await start(withToken);
      const response = await startClient({}, [{ token }]);
      expect(response['local_identity']).to.include({ hostname: 'api.example.org' });
    });

    it('lets a token use no other identity', async () => {
      await start(withToken);
      const response = await startClient({ identity_name: 'web' }, [{ token }]);
      expect(response['failure']).to.include({ reason: 'identity_not_allowed' });
      expect(response['status']).to.include({ code: 7 });
    });

    for (const { name, mechanisms, reason } of [
      { name: 'no token', mechanisms: [], reason: 'token_missing' },
      { name: 'an empty token', mechanisms: [{ token: '' }], reason: 'token_missing' },
      { name: 'a wrong token', mechanisms: [{ token: `${token}x` }], reason: 'token_unknown' },
    ]) {
      it(`refuses ${name}, says so in log and metric, and never repeats it`, async () => {
        await start(withToken);
        const response = await startClient({}, mechanisms);
        expect(response['status']).to.include({ code: 16 });
        expect(response['failure']).to.include({ reason });
        expect(await sidecar.metric(`sidekey_caller_denials_total{reason="${reason}"}`)).to.equal(
          1,
        );
        expect(sidecar.log.filter(({ level }) => level === 40)).to.have.length(1);
        expect(JSON.stringify(sidecar.log)).to.not.contain('token-0123456789');
      });
    }

    it('refuses a user it was not told of', async () => {
      await start({ allow: '[{ uid: 4000000, identities: [web] }]' });
      const response = await startClient({});
      expect(response['failure']).to.include({ reason: 'caller_not_allowed' });
    });

    it('closes connections whose user the kernel does not name, if it has to know', async () => {
      const directory = mkdtempSync(join(tmpdir(), 'sidekey-nocred-'));
      const ca = createTestCa();
      writeIdentity(directory, 'web', ca.issue(webIdentity));
      writeFileSync(join(directory, 'roots.pem'), ca.pem);
      const { log, lines } = memoryLog();
      const config = parseSidecarConfig(
        `listen: [{ address: "unix:./s" }]\nidentities: { web: { certificate: web.pem, privateKey: web.key } }\ntrust: { bundle: roots.pem }\n`,
        join(directory, 'c.yaml'),
      );
      const blind = await startSidecar(config, { log, readCredentials: () => undefined });
      const socket = connect({ path: join(directory, 's') });
      await once(socket, 'close');
      expect(lines.map(({ msg }) => msg)).to.include('connection refused');
      await blind.close();
      rmSync(directory, { recursive: true });
      await start({});
    });
  });

  describe('shows its identities', () => {
    async function list(metadata: Metadata = new Metadata()): Promise<ListIdentitiesResponse> {
      const client = new WorkloadServiceClient(sidecar.address, credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      try {
        return await new Promise((resolve, reject) => {
          client.listIdentities({}, metadata, (error, response) => {
            if (error === null) resolve(response);
            else reject(error);
          });
        });
      } finally {
        client.close();
      }
    }

    it('to a caller, his own only', async () => {
      await start({
        identities: { web: webIdentity, api: { dnsNames: ['api.example.org'], keyKind: 'rsa' } },
        allow: '[{ tokenFile: ./token, identities: [api] }]',
        prepare: (directory) => {
          writeFileSync(join(directory, 'token'), token);
        },
      });
      const metadata = new Metadata();
      metadata.set('authorization', `Bearer ${token}`);
      const { identities, trustGeneration } = await list(metadata);
      expect(trustGeneration).to.equal(1n);
      expect(identities.map(({ name }) => name)).to.deep.equal(['api']);
      expect(identities[0]).to.deep.include({
        isDefault: false,
        ready: true,
        problem: '',
        dnsNames: ['api.example.org'],
        keyType: 'rsa-2048',
      });
    });

    it('to nobody without a token', async () => {
      await start({
        allow: '[{ tokenFile: ./token, identities: [web] }]',
        prepare: (directory) => {
          writeFileSync(join(directory, 'token'), token);
        },
      });
      let error: unknown;
      await list().catch((cause: unknown) => (error = cause));
      expect(error).to.have.property('code', 16);
    });

    it('with what went wrong when they were reloaded', async () => {
      await start({});
      rmSync(join(sidecar.directory, 'web.key'));
      sidecar.sidecar.reload();
      const { identities } = await list();
      expect(identities[0]?.ready).to.equal(true);
      expect(identities[0]?.problem).to.contain('web.key');
      expect(identities[0]?.spiffeId).to.equal(webIdentity.uris![0]);
    });
  });

  describe('tells the operator', () => {
    it('metrics, health and readiness', async () => {
      await start({});
      expect(await admin('/healthz')).to.deep.equal({ status: 200, text: 'ok\n' });
      expect(await admin('/readyz')).to.deep.equal({ status: 200, text: 'ok\n' });
      expect((await admin('/metrics')).text).to.contain(
        'sidekey_certificate_not_after_seconds{identity="web"}',
      );
      expect((await admin('/other')).status).to.equal(404);
    });

    it('that it is not ready when a certificate is over', async () => {
      let now = new Date();
      await start({ now: () => now });
      now = new Date(now.getTime() + 48 * 3_600_000);
      const { status, text } = await admin('/readyz');
      expect(status).to.equal(503);
      expect(text).to.contain('identity web');
    });
  });

  describe('with more to do than it can', () => {
    it('lets handshakes wait their turn, and refuses those beyond with advice', async () => {
      await start({ extra: 'limits: { handshakes: 1, queue: 1, queueTimeout: 5s }\n' });
      const first = await open();
      const second = wire.open();
      second.send({ client_start: { target_name: 'a.example.org' } });
      while ((await sidecar.metric('sidekey_handshakes_queued{role="client"}')) === 0);
      const third = wire.open();
      third.send({ client_start: { target_name: 'a.example.org' } });
      const refusal = await third.receive();
      expect(refusal!['status']).to.include({ code: 8 });
      expect(refusal!['failure']).to.include({ reason: 'overloaded', retry_after_ms: 5000 });
      expect((await third.status()).code).to.equal(8);
      first.cancel();
      expect((await second.receive())!['status']).to.deep.equal({});
      second.cancel();
    });

    it('keeps server handshakes apart from client handshakes', async () => {
      await start({ extra: 'limits: { handshakes: 1, queue: 0 }\n' });
      const client = await open();
      const server = wire.open();
      server.send({ server_start: {} });
      expect((await server.receive())!['status']).to.deep.equal({});
      client.cancel();
      server.cancel();
    });

    it('frees hundreds of silent peers in time, and serves others meanwhile', async () => {
      await start({
        extra: 'tls: { firstMessageTimeout: 2s }\nlimits: { handshakes: 512, queue: 16 }\n',
      });
      const silent = Array.from({ length: 500 }, () => {
        const stream = wire.open();
        stream.send({ server_start: {} });
        return stream;
      });
      await Promise.all(silent.map((stream) => stream.receive()));
      expect(await sidecar.metric('sidekey_handshakes_in_flight{role="server"}')).to.equal(500);
      const good = wire.open();
      good.send({ server_start: {} });
      expect((await good.receive())!['status']).to.deep.equal({});
      good.cancel();
      const ends = await Promise.all(silent.map((stream) => stream.status()));
      expect(new Set(ends.map(({ reason }) => reason))).to.deep.equal(new Set(['peer_silent']));
      while ((await sidecar.metric('sidekey_open_streams')) > 0);
      expect(await sidecar.metric('sidekey_handshakes_in_flight{role="server"}')).to.equal(0);
      // Silent peers are no news: they are counted, not logged.
      expect(sidecar.log.filter(({ level }) => level >= 30).map(({ msg }) => msg)).to.deep.equal([
        'sidecar started',
      ]);
    });
  });

  describe('with callers that reset each stream, as HTTP/2 makes them', () => {
    it('serves more of them on one channel than Node allows on one connection', async () => {
      await start({});
      for (let round = 0; round < 50; round += 1) {
        const streams = Array.from({ length: 50 }, () => wire.open());
        const statuses = await Promise.all(
          streams.map(async (stream) => {
            stream.send({ resumption_ticket: {} });
            const response = await stream.receive();
            stream.cancel();
            return response === undefined ? await stream.status() : response['status'];
          }),
        );
        expect(statuses).to.deep.equal(statuses.map(() => ({})));
      }
    });

    it('lets kept streams finish what they do, then ends them', async () => {
      await start({});
      const kept = wire.open();
      kept.send({ client_start: { target_name: 'a.example.org' }, keep_stream: true });
      await kept.receive();
      for (let round = 0; round < 450; round += 1) {
        const stream = wire.open();
        stream.send({ resumption_ticket: {} });
        await stream.receive();
        await stream.status();
        stream.cancel();
      }
      while ((await sidecar.metric('sidekey_connections')) < 2) await openAndClose();
      kept.send({ next: {} });
      expect((await kept.receive())!['status']).to.deep.equal({});
      kept.cancel();
    });

    async function openAndClose(): Promise<void> {
      const stream = wire.open();
      stream.send({ resumption_ticket: {} });
      await stream.receive();
      stream.cancel();
    }
  });

  describe('that drains', () => {
    it('finishes what is running, takes nothing new, and ends', async () => {
      await start({});
      const running = await open();
      const idle = wire.open();
      idle.send({ client_start: { target_name: 'a.example.org' } });
      await idle.receive();
      const drained = sidecar.sidecar.drain(5000);
      const late = wire.open();
      late.send({ client_start: { target_name: 'a.example.org' } });
      const refusal = await late.receive();
      expect(refusal!['status']).to.include({ code: 14 });
      expect(refusal!['failure']).to.include({ reason: 'draining' });
      running.send({ next: {} });
      expect((await running.receive())!['status']).to.deep.equal({});
      running.cancel();
      idle.cancel();
      await drained;
      const socket = connect({ path: join(sidecar.directory, 's.sock') });
      const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
      expect(error.code).to.equal('ENOENT');
    });

    it('does not wait longer than it was told to', async () => {
      await start({});
      const running = await open();
      await sidecar.sidecar.drain(20);
      expect((await running.status()).code).to.be.greaterThan(0);
    });
  });

  async function open(): Promise<WireStream> {
    const stream = wire.open();
    stream.send({ client_start: { target_name: 'a.example.org' } });
    await stream.receive();
    return stream;
  }
});
