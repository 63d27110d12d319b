import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { expect } from 'chai';
import { createOffload, type Offload, type OffloadSocket } from '../../src/offload/index.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { failure, listen, readBytes, securePair } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';
import { memoryPair, type Pace } from './support/memory-pair.ts';
import { WireTap } from './support/wire-tap.ts';

describe('connections over the offload', () => {
  let sidecar: FakeSidecar;
  let offload: Offload;

  before(async () => {
    sidecar = await FakeSidecar.start();
    offload = createOffload({ address: sidecar.address });
  });

  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  for (const suite of cipherSuites) {
    for (const recordCipher of ['native', 'node'] as const) {
      it(`move data both ways with ${suite.name} by ${recordCipher}`, async () => {
        sidecar.behaviour.suite = suite;
        const ours = createOffload({ address: sidecar.address, recordCipher });
        const { client, server, close } = await securePair(ours);
        const data = randomBytes(300_000);
        client.write(data);
        server.write(data);
        expect((await readBytes(server, data.length)).equals(data)).to.equal(true);
        expect((await readBytes(client, data.length)).equals(data)).to.equal(true);
        expect(client.getCipher()).to.deep.equal({
          name: suite.openSslName,
          standardName: suite.name,
          version: 'TLSv1.2',
        });
        await close();
        await ours.close();
        sidecar.behaviour.suite = cipherSuites[0]!;
      });
    }
  }

  it('carry a transfer of several megabytes through pipes', async () => {
    const { client, server, close } = await securePair(offload);
    const data = randomBytes(5_000_000);
    const echoed: Buffer[] = [];
    let bytes = 0;
    const echo = pipeline(server, server);
    client.on('data', (chunk: Buffer) => {
      echoed.push(chunk);
      bytes += chunk.length;
      if (bytes === data.length) client.end();
    });
    client.write(data);
    await echo;
    expect(Buffer.concat(echoed).equals(data)).to.equal(true);
    await close();
  });

  it('end in order on both sides', async () => {
    const { client, server, close } = await securePair(offload);
    server.resume();
    client.resume();
    client.end('last words');
    await Promise.all([once(client, 'close'), once(server, 'close')]);
    expect(server.bytesRead).to.equal(10);
    expect(client.bytesWritten).to.equal(10);
    await close();
  });

  it('stay half open when asked to', async () => {
    const { client, server, close } = await securePair(offload, {
      client: { allowHalfOpen: true },
      server: { allowHalfOpen: true },
    });
    client.end('question');
    server.resume();
    await once(server, 'end');
    server.end('answer');
    expect((await readBytes(client, 6)).toString()).to.equal('answer');
    client.resume();
    await once(client, 'close');
    await close();
  });

  it('take writes, and an end, before the handshake', async () => {
    const listener = offload.createServer({ allowHalfOpen: true });
    const port = await listen(listener);
    const client = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
    expect(client.connecting).to.equal(true);
    expect(client.secureConnecting).to.equal(true);
    client.write('early ');
    client.end('bird');
    const [server] = (await once(listener, 'secureConnection')) as [OffloadSocket];
    expect((await readBytes(server, 10)).toString()).to.equal('early bird');
    server.end();
    client.resume();
    await once(client, 'close');
    listener.close();
  });

  it('do not say goodbye before what was written early', async () => {
    const listener = offload.createServer({});
    const port = await listen(listener);
    const client = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
    client.write('half a ');
    client.once('secure', () => client.destroy());
    const [server] = (await once(listener, 'secureConnection')) as [OffloadSocket];
    expect(await failure(server)).to.have.property('code', 'ERR_OFFLOAD_TRUNCATED');
    listener.close();
  });

  it('emit connect, ready and secureConnect in this order', async () => {
    const listener = offload.createServer({});
    const port = await listen(listener);
    const client = offload.connect({ port, host: 'localhost' });
    const seen: string[] = [];
    for (const event of ['lookup', 'connect', 'ready', 'secureConnect', 'close']) {
      client.on(event, () => seen.push(event));
    }
    await once(client, 'secureConnect');
    const closed = once(client, 'close');
    client.destroy();
    await closed;
    expect(seen.filter((event) => event !== 'lookup')).to.deep.equal([
      'connect',
      'ready',
      'secureConnect',
      'close',
    ]);
    expect(seen[0]).to.equal('lookup');
    listener.closeAllConnections();
    listener.close();
  });

  for (const pace of ['as written', 'one at a time', 'coalesced'] as const) {
    it(`are made over any stream, its bytes ${pace}`, async () => {
      const { client, server } = await memoryConnection(offload, pace, (socket) => {
        // Shares the piece that carries the last handshake record where bytes are coalesced.
        socket.write('at once');
      });
      expect((await readBytes(client, 7)).toString()).to.equal('at once');
      client.end('x'.repeat(20_000));
      expect(await readBytes(server, 20_000)).to.have.length(20_000);
      server.resume();
      client.resume();
      await Promise.all([once(client, 'close'), once(server, 'close')]);
    });
  }

  it('read from a connection that was accepted paused', async () => {
    const listener = createTcpServer({ pauseOnConnect: true });
    const port = await listen(listener);
    const accepted = once(listener, 'connection') as Promise<[Socket]>;
    const client = offload.connect({ host: '127.0.0.1', port, servername: 'localhost' });
    const [raw] = await accepted;
    const server = offload.wrap(raw, { role: 'server' });
    client.write('early');
    expect((await readBytes(server, 5)).toString()).to.equal('early');
    client.destroy();
    server.destroy();
    listener.close();
  });

  it('are made in either role whoever dialled', async () => {
    const listener = offload.createServer({});
    listener.removeAllListeners('connection');
    const port = await listen(listener);
    const accepted = once(listener, 'connection');
    const dialled = connectTcp(port, '127.0.0.1');
    const [raw] = (await accepted) as [typeof dialled];
    const server = offload.wrap(dialled, { role: 'server' });
    const client = offload.wrap(raw, { role: 'client', servername: 'localhost' });
    await Promise.all([once(server, 'secure'), once(client, 'secureConnect')]);
    client.write('hello');
    expect((await readBytes(server, 5)).toString()).to.equal('hello');
    client.destroy();
    server.destroy();
    listener.close();
  });

  it('gather the small writes of one turn into one record', async () => {
    const listener = offload.createServer({});
    const { tap, port } = await WireTap.to(await listen(listener));
    const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
    const client = offload.connect({ port, host: '127.0.0.1', servername: 'localhost' });
    const [server] = await accepted;
    await once(client, 'secureConnect');
    for (let count = 0; count < 100; count += 1) client.write(Buffer.alloc(100));
    await readBytes(server, 10_000);
    client.write(Buffer.alloc(100));
    client.write(Buffer.alloc(40_000));
    await readBytes(server, 40_100);
    const data = tap.records('fromClient').filter(({ type }) => type === 23);
    expect(data.map(({ length }) => length - 24)).to.deep.equal([10_000, 16_384, 16_384, 7332]);
    client.destroy();
    server.destroy();
    tap.close();
    listener.close();
  });

  it('hold back a writer whose reader has stopped', async () => {
    const { client, server } = await memoryConnection(offload, 'as written', () => undefined);
    const data = Buffer.alloc(8_388_608, 7);
    client.end(data);
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    // The high-water mark of every stream on the way, and one write over it.
    expect(server.readableLength).to.be.within(65_536, 262_144);
    expect(client.writableLength).to.equal(data.length);
    expect(server.bytesRead).to.be.below(400_000);
    let received = 0;
    server.on('data', (chunk: Buffer) => (received += chunk.length));
    await once(server, 'end');
    expect(received).to.equal(data.length);
    client.destroy();
  });

  it('tell when there was silence', async () => {
    const { client, close } = await securePair(offload);
    client.setTimeout(20);
    expect(client.timeout).to.equal(20);
    await once(client, 'timeout');
    await close();
  });

  it('are destroyed by a signal', async () => {
    const listener = offload.createServer({});
    const port = await listen(listener);
    const controller = new AbortController();
    const client = offload.connect({ port, host: '127.0.0.1', signal: controller.signal });
    await once(client, 'connect');
    const failed = failure(client);
    controller.abort();
    expect(await failed).to.have.property('name', 'AbortError');
    listener.closeAllConnections();
    listener.close();
  });

  it('refuse a peer the application does not want', async () => {
    const listener = offload.createServer({});
    const port = await listen(listener);
    const accepted = once(listener, 'secureConnection') as Promise<[OffloadSocket]>;
    const client = offload.connect({
      port,
      host: '127.0.0.1',
      servername: 'localhost',
      checkServerIdentity: (name) => new Error(`not ${name}`),
    });
    const failed = failure(client);
    const [server] = await accepted;
    expect(await failed).to.have.property('message', 'not localhost');
    const told = await failure(server);
    expect(told).to.include({ code: 'ERR_OFFLOAD_PEER_ALERT', alert: 'access_denied' });
    listener.close();
  });
});

async function memoryConnection(
  offload: Offload,
  pace: Pace,
  onServerSecure: (socket: OffloadSocket) => void,
): Promise<{ client: OffloadSocket; server: OffloadSocket }> {
  const [left, right] = memoryPair(pace);
  const server = offload.wrap(right, { role: 'server' });
  server.once('secure', () => {
    onServerSecure(server);
  });
  const client = offload.wrap(left, { role: 'client', servername: 'localhost' });
  await Promise.all([once(server, 'secure'), once(client, 'secureConnect')]);
  return { client, server };
}
