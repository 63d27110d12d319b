import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { expect } from 'chai';
import {
  createOffload,
  type Offload,
  type OffloadOptions,
  type OffloadSocket,
} from '../../src/offload/index.ts';
import { failure, listen, readBytes, securePair } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';
import { WireTap } from './support/wire-tap.ts';

describe('faults', () => {
  let sidecar: FakeSidecar;
  const offloads: Offload[] = [];

  beforeEach(async () => {
    sidecar = await FakeSidecar.start();
  });

  afterEach(async () => {
    for (const offload of offloads.splice(0)) await offload.close();
    await sidecar.close();
  });

  function create(options: OffloadOptions = {}): Offload {
    const offload = createOffload({ address: sidecar.address, ...options });
    offloads.push(offload);
    return offload;
  }

  async function tapped(offload: Offload) {
    const listener = offload.createServer({});
    const { tap, port } = await WireTap.to(await listen(listener));
    const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
    const client = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
    const [[server]] = await Promise.all([accepted, once(client, 'secureConnect')]);
    const close = (): void => {
      client.destroy();
      server.destroy();
      tap.close();
      listener.close();
    };
    return { client, server, tap, close };
  }

  describe('of an established connection', () => {
    it('make an end without close_notify an error (RFC 5246 §7.2.1)', async () => {
      const { client, server, tap, close } = await tapped(create());
      const failures = Promise.all([failure(client), failure(server)]);
      tap.cut();
      for (const error of await failures) {
        expect(error).to.include({ code: 'ERR_OFFLOAD_TRUNCATED', phase: 'data' });
        expect(error['handshakeId']).to.match(/^fake-/);
      }
      close();
    });

    it('keep the code of a reset', async () => {
      const { client, tap, close } = await tapped(create());
      const failed = failure(client);
      tap.reset();
      expect(await failed).to.have.property('code', 'ECONNRESET');
      close();
    });

    it('answer a forged record with an alert and name it on both sides', async () => {
      const { client, server, tap, close } = await tapped(create());
      const failures = Promise.all([failure(client), failure(server)]);
      tap.inject('server', Buffer.from([23, 3, 3, 0, 25, ...Buffer.alloc(25)]));
      const [atClient, atServer] = await failures;
      expect(atServer).to.include({
        code: 'ERR_OFFLOAD_RECORD',
        alert: 'bad_record_mac',
        phase: 'data',
      });
      expect(atClient).to.include({
        code: 'ERR_OFFLOAD_PEER_ALERT',
        alert: 'bad_record_mac',
        phase: 'data',
      });
      close();
    });

    it('leave it alone when the sidecar dies', async () => {
      const offload = create();
      const { client, server, close } = await securePair(offload);
      await sidecar.stop();
      client.write('still here');
      expect((await readBytes(server, 10)).toString()).to.equal('still here');
      await close();
    });

    it('leave it alone when the offload is closed', async () => {
      const offload = create();
      const { client, server, close } = await securePair(offload);
      await offload.close();
      server.write('still here');
      expect((await readBytes(client, 10)).toString()).to.equal('still here');
      await close();
    });
  });

  describe('of the peer during the handshake', () => {
    it('free a peer that never speaks, and give it no place', async () => {
      const offload = create({ timeouts: { handshakeMs: 60 } });
      const listener = offload.createServer({});
      const port = await listen(listener);
      const raw = connectTcp(port, '127.0.0.1');
      await once(raw, 'connect');
      expect(offload.load.server).to.deep.equal({ running: 0, queued: 0 });
      const [error] = (await once(listener, 'tlsClientError')) as [Error];
      expect(error).to.include({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT', phase: 'handshake' });
      raw.resume();
      await once(raw, 'close');
      expect(sidecar.starts).to.have.length(0);
      listener.close();
    });

    it('tell of a peer that goes away', async () => {
      const offload = create();
      const server = createTcpServer((socket: Socket) => socket.end());
      const port = await listen(server);
      const client = offload.connect({ port, host: '127.0.0.1' });
      const error = await failure(client);
      expect(error).to.include({ code: 'ECONNRESET', phase: 'handshake' });
      expect(offload.load.client).to.deep.equal({ running: 0, queued: 0 });
      server.close();
    });

    it('free the place as soon as the sidecar gives up on a silent peer', async () => {
      const offload = create();
      sidecar.behaviour.givesUpOnPeers = { code: 4, details: 'the peer sent nothing in time' };
      const server = createTcpServer();
      const port = await listen(server);
      const client = offload.connect({ port, host: '127.0.0.1' });
      const error = await failure(client);
      expect(error).to.include({ code: 'ERR_TLS_HANDSHAKE_TIMEOUT', phase: 'handshake' });
      expect(error.message).to.contain('the peer sent nothing in time');
      expect(error['handshakeId']).to.match(/^fake-/);
      expect(offload.load.client).to.deep.equal({ running: 0, queued: 0 });
      server.close();
    }).timeout(5000);

    it('tell of a peer that refuses the TCP connection as net does', async () => {
      const server = createTcpServer();
      const port = await listen(server);
      server.close();
      await once(server, 'close');
      const client = create().connect({ port, host: '127.0.0.1' });
      expect(await failure(client)).to.include({ code: 'ECONNREFUSED', syscall: 'connect' });
    });

    it('name the alert a peer sends before it closes', async () => {
      const server = createTcpServer((socket: Socket) => {
        socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 40])));
      });
      const port = await listen(server);
      const client = create().connect({ port, host: '127.0.0.1' });
      expect(await failure(client)).to.include({
        code: 'ERR_OFFLOAD_HANDSHAKE',
        alert: 'handshake_failure',
        reason: 'peer_alert',
        phase: 'handshake',
      });
      server.close();
    });

    it('send the alert the sidecar made, and keep the code of Node where one fits', async () => {
      const offload = create();
      sidecar.behaviour.failWith = { alert: 'unknown_ca', reason: 'unknown_issuer' };
      const listener = offload.createServer({});
      const port = await listen(listener);
      const refused = once(listener, 'tlsClientError') as Promise<[Error, OffloadSocket]>;
      const client = offload.connect({ port, host: '127.0.0.1' });
      const atClient = await failure(client);
      const [atServer] = await refused;
      expect(atServer).to.include({
        code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
        alert: 'unknown_ca',
        reason: 'unknown_issuer',
        phase: 'handshake',
      });
      expect(atServer)
        .to.have.property('handshakeId')
        .that.matches(/^fake-/);
      expect(atClient).to.include({ code: 'ERR_OFFLOAD_HANDSHAKE', alert: 'unknown_ca' });
      listener.close();
    });
  });

  describe('of the sidecar', () => {
    it('make a handshake fail within its deadline when there is none', async () => {
      await sidecar.stop();
      const { client, listener } = await dial(create({ timeouts: { sidecarMs: 100 } }));
      expect(await failure(client)).to.include({
        code: 'ERR_OFFLOAD_UNAVAILABLE',
        phase: 'sidecar',
      });
      listener.close();
    });

    it('are waited out while it restarts', async () => {
      const offload = create();
      await securePair(offload).then(({ close }) => close());
      await sidecar.stop();
      const pair = securePair(offload);
      await sidecar.listen();
      await (await pair).close();
    });

    it('end a handshake under way when it dies', async () => {
      const offload = create();
      sidecar.behaviour.tamper = () => {
        void sidecar.stop();
        return undefined;
      };
      const { client, listener } = await dial(create({ timeouts: { sidecarMs: 50 } }));
      expect(await failure(client)).to.include({ code: 'ERR_OFFLOAD_UNAVAILABLE' });
      expect(offload.load.client.running).to.equal(0);
      listener.closeAllConnections();
      listener.close();
    });

    it('end a handshake whose sidecar stops answering, at the deadline', async () => {
      sidecar.behaviour.tamper = () => undefined;
      const { client, listener } = await dial(create({ timeouts: { handshakeMs: 60 } }));
      expect(await failure(client)).to.have.property('code', 'ERR_TLS_HANDSHAKE_TIMEOUT');
      listener.closeAllConnections();
      listener.close();
    });

    const refusals = [
      { status: 16, code: 'ERR_OFFLOAD_UNAUTHENTICATED' },
      { status: 7, code: 'ERR_OFFLOAD_DENIED' },
      { status: 9, code: 'ERR_OFFLOAD_POLICY' },
      { status: 3, code: 'ERR_OFFLOAD_POLICY' },
      { status: 13, code: 'ERR_OFFLOAD_HANDSHAKE' },
    ];
    for (const { status, code } of refusals) {
      it(`make status ${String(status)} the error ${code}`, async () => {
        sidecar.behaviour.refuseStart = () => ({ code: status, details: 'because' });
        const { client, listener } = await dial(create());
        const error = await failure(client);
        expect(error).to.include({ code, handshakeId: 'fake-refused' });
        expect(error.message).to.contain('because');
        listener.closeAllConnections();
        listener.close();
      });
    }

    it('say when to come back if it is overloaded', async () => {
      sidecar.behaviour.refuseStart = () => ({
        code: 8,
        details: 'too many',
        failure: { reason: 'overloaded', retryAfterMs: 250 },
      });
      const { client, listener } = await dial(create());
      expect(await failure(client)).to.include({
        code: 'ERR_OFFLOAD_OVERLOADED',
        retryAfterMs: 250,
        reason: 'overloaded',
      });
      listener.closeAllConnections();
      listener.close();
    });

    it('are not asked for more than agreed at once', async () => {
      const offload = create({ limits: { handshakes: 2, queue: 100 } });
      const listener = offload.createServer({}, (socket) => {
        socket.resume();
      });
      const port = await listen(listener);
      let most = 0;
      sidecar.behaviour.tamper = (response) => {
        most = Math.max(most, offload.load.client.running);
        return response;
      };
      const clients = Array.from({ length: 20 }, () =>
        offload.connect({ port, host: '127.0.0.1' }),
      );
      await Promise.all(clients.map((client) => once(client, 'secureConnect')));
      expect(most).to.equal(2);
      expect(offload.load).to.deep.equal({
        client: { running: 0, queued: 0 },
        server: { running: 0, queued: 0 },
      });
      for (const client of clients) client.destroy();
      listener.closeAllConnections();
      listener.close();
    });
  });

  describe('results that do not fit', () => {
    const cases = [
      { name: 'a short key', change: { inKey: Buffer.alloc(8) } },
      { name: 'a long nonce', change: { outFixedNonce: Buffer.alloc(12) } },
      { name: 'TLS 1.3', change: { tlsVersion: 1 as const } },
      { name: 'an AEAD that is not the suite’s', change: { tlsCiphersuite: 2 as const } },
    ];
    for (const { name, change } of cases) {
      it(`refuse ${name}`, async () => {
        sidecar.behaviour.tamper = (response) => {
          if (response.result?.state !== undefined) Object.assign(response.result.state, change);
          return response;
        };
        const { client, listener } = await dial(create());
        listener.on('tlsClientError', () => undefined);
        expect(await failure(client)).to.include({ code: 'ERR_OFFLOAD_PROTOCOL' });
        listener.closeAllConnections();
        listener.close();
      });
    }

    it('refuse a count of consumed bytes that is too large', async () => {
      sidecar.behaviour.tamper = (response) => ({ ...response, bytesConsumed: 100_000 });
      const { client, listener } = await dial(create());
      expect(await failure(client)).to.include({ code: 'ERR_OFFLOAD_PROTOCOL' });
      listener.closeAllConnections();
      listener.close();
    });

    it('refuse a server without a certificate', async () => {
      sidecar.behaviour.tamper = (response) => {
        if (response.result !== undefined) response.result.peerCertFingerprint = Buffer.alloc(0);
        return response;
      };
      const { client, listener } = await dial(create());
      expect(await failure(client)).to.include({ code: 'ERR_OFFLOAD_PROTOCOL' });
      listener.closeAllConnections();
      listener.close();
    });

    it('refuse a protocol nobody offered', async () => {
      sidecar.behaviour.tamper = (response) => {
        if (response.result !== undefined) response.result.applicationProtocol = 'h3';
        return response;
      };
      const { client, listener } = await dial(create());
      expect(await failure(client)).to.include({ code: 'ERR_OFFLOAD_PROTOCOL' });
      listener.closeAllConnections();
      listener.close();
    });
  });

  describe('of the access token', () => {
    it('read a token file again when the sidecar refuses what was in it', async () => {
      const tokenFile = sidecar.file('token');
      await writeFile(tokenFile, 'old\n');
      let valid = 'old';
      sidecar.behaviour.refuseStart = (request) => {
        const token = request.authMechanisms[0]?.mechanismOneof?.value;
        return token === valid ? undefined : { code: 16, details: 'unknown token' };
      };
      const offload = create({ tokenFile });
      await securePair(offload).then(({ close }) => close());
      await writeFile(tokenFile, 'new token\n');
      valid = 'new token';
      await securePair(offload).then(({ close }) => close());
    });

    it('fail after one more try if the new one is no good either', async () => {
      const tokenFile = sidecar.file('token');
      await writeFile(tokenFile, 'first');
      sidecar.behaviour.refuseStart = () => {
        void writeFile(tokenFile, `token ${String(sidecar.starts.length)}`);
        return { code: 16, details: 'unknown token' };
      };
      const { client, listener } = await dial(create({ tokenFile }));
      expect(await failure(client)).to.have.property('code', 'ERR_OFFLOAD_UNAUTHENTICATED');
      expect(sidecar.starts.length).to.be.at.most(2);
      listener.closeAllConnections();
      listener.close();
    });

    it('tell of a token file that cannot be read', async () => {
      const { client, listener } = await dial(create({ tokenFile: sidecar.file('none') }));
      expect(await failure(client)).to.include({
        code: 'ERR_OFFLOAD_UNAUTHENTICATED',
        reason: 'token_file_unreadable',
      });
      listener.closeAllConnections();
      listener.close();
    });
  });

  describe('streams', () => {
    it('are used for one handshake after the other', async () => {
      const offload = create();
      for (let count = 0; count < 5; count += 1) {
        await securePair(offload).then(({ close }) => close());
      }
      expect(sidecar.handshakes).to.equal(10);
      // One for each side of a connection.
      expect(sidecar.streams).to.equal(2);
    });

    it('are made anew for a sidecar that ends them', async () => {
      sidecar.behaviour.keepsStreams = false;
      const offload = create();
      for (let count = 0; count < 5; count += 1) {
        await securePair(offload).then(({ close }) => close());
      }
      expect(sidecar.handshakes).to.equal(10);
      expect(sidecar.openStreams).to.equal(0);
      expect(sidecar.starts.at(-1)?.keepStream).to.equal(false);
    });

    it('are all ended when the offload is closed', async () => {
      const offload = create();
      await securePair(offload).then(({ close }) => close());
      expect(sidecar.openStreams).to.be.above(0);
      await offload.close();
      while (sidecar.openStreams > 0) await new Promise((resolve) => setImmediate(resolve));
      const client = offload.connect({ port: 1, host: '127.0.0.1', socket: connectTcp(1) });
      await failure(client);
    });
  });
});

async function dial(offload: Offload) {
  const listener = offload.createServer({});
  listener.on('tlsClientError', () => undefined);
  listener.on('secureConnection', (socket: OffloadSocket) => socket.on('error', () => undefined));
  const port = await listen(listener);
  const client = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
  return { client, listener };
}
