import { expect } from 'chai';
import { once } from 'node:events';
import {
  createServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { GrpcChannel } from '../../../src/rpc/client/grpc-channel.ts';
import type { GrpcStatusError } from '../../../src/rpc/client/grpc-status.ts';

describe('GrpcChannel, whose server stops answering', () => {
  const sockets: Socket[] = [];
  let server: Http2Server;
  let isDead = false;
  const held: (() => void)[] = [];
  let relayPort: number;
  const relay = createTcpServer((near) => {
    const far = connect((server.address() as AddressInfo).port, '127.0.0.1');
    sockets.push(near, far);
    near.on('error', () => undefined);
    near.pipe(far);
    far.on('data', (bytes: Buffer) => {
      if (isDead) held.push(() => near.write(bytes));
      else near.write(bytes);
    });
  });

  before(async () => {
    server = createServer();
    // Calls are taken and never answered.
    server.on('stream', (stream) => {
      stream.on('error', () => undefined);
      const headers = { ':status': 200, 'content-type': 'application/grpc' };
      stream.respond(headers, { waitForTrailers: true });
    });
    server.listen(0, '127.0.0.1');
    relay.listen(0, '127.0.0.1');
    await Promise.all([once(server, 'listening'), once(relay, 'listening')]);
    relayPort = (relay.address() as AddressInfo).port;
  });

  after(() => {
    for (const socket of sockets) socket.destroy();
    relay.close();
    server.close();
  });

  /** What the server said meanwhile comes after all. */
  function revive(): void {
    isDead = false;
    for (const deliver of held.splice(0)) deliver();
  }

  async function callOn(channel: GrpcChannel): Promise<GrpcStatusError> {
    return await new Promise((resolve, reject) => {
      channel.call('/a/b', {}, { message: () => undefined, end: resolve }).catch(reject);
    });
  }

  const channelWith = (signOfLifeMs: number): GrpcChannel =>
    new GrpcChannel({
      connect: async () => {
        const socket = connect(relayPort, '127.0.0.1');
        await once(socket, 'connect');
        return socket;
      },
      closedError: () => new Error('closed'),
      peer: 'test',
      signOfLifeMs,
    });

  it('ends its connection, and the calls on it, while somebody waits', async () => {
    const channel = channelWith(240);
    channel.hold();
    const ended = callOn(channel);
    isDead = true;
    expect(await ended).to.have.property('code', 14);
    revive();
    channel.release();
    await channel.close();
  });

  it('leaves a connection alone that gives signs of life', async () => {
    const channel = channelWith(240);
    channel.hold();
    const opened = once(server, 'session') as Promise<[ServerHttp2Session]>;
    let isOver = false;
    const ended = callOn(channel).finally(() => (isOver = true));
    const [session] = await opened;
    // Many times what would be too long without a sign.
    for (let pings = 0; pings < 10; pings += 1) await once(session, 'ping');
    expect(isOver).to.equal(false);
    channel.release();
    await channel.close();
    await ended;
  });

  it('does not blame the server for the time in which it did not run itself', async () => {
    const channel = channelWith(240);
    channel.hold();
    const opened = once(server, 'session') as Promise<[ServerHttp2Session]>;
    let isOver = false;
    const ended = callOn(channel).finally(() => (isOver = true));
    const [session] = await opened;
    for (let times = 0; times < 3; times += 1) {
      await once(session, 'ping');
      // The answer is on its way now; the timer that looks for it will be due long before it is read.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    }
    await once(session, 'ping');
    expect(isOver).to.equal(false);
    channel.release();
    await channel.close();
    await ended;
  });

  it('takes another connection for new calls when in doubt, and lets the others wait', async () => {
    // A third of this is what the test waits for; all of it is far more than that.
    const channel = channelWith(600);
    channel.hold();
    const sessions: ServerHttp2Session[] = [];
    const noteSession = (session: ServerHttp2Session): unknown => sessions.push(session);
    server.on('session', noteSession);
    let ended: GrpcStatusError | undefined;
    let over: Promise<void> | undefined;
    const slow = new Promise<void>((doubted) => {
      over = new Promise((resolve) => {
        const end = (status: GrpcStatusError): void => {
          ended = status;
          resolve();
        };
        void channel.call('/a/b', {}, { message: () => undefined, end, doubted });
      });
    });
    const [stream] = (await once(server, 'stream')) as [ServerHttp2Stream];
    isDead = true;
    await slow;
    void callOn(channel);
    await once(server, 'stream');
    expect({ sessions: sessions.length, ended }).to.deep.equal({ sessions: 2, ended: undefined });
    revive();
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': '0' });
    });
    stream.end();
    await over;
    expect(ended).to.have.property('code', 0);
    server.off('session', noteSession);
    channel.release();
    await channel.close();
  });
});
