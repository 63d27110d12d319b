import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { expect } from 'chai';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { RpcServer } from '../../src/rpc/server.ts';

describe('guardHttp2', () => {
  let server: RpcServer<string>;
  let session: ClientHttp2Session;
  const refusals: string[] = [];
  const received: string[] = [];
  let ms = 0;

  beforeEach(async () => {
    refusals.length = 0;
    received.length = 0;
    server = new RpcServer<string>({
      maxReceiveBytes: 1024,
      maxConnections: 2,
      maxStreamsPerConnection: 10,
      readCredentials: () => undefined,
      now: () => new Date(ms),
    });
    server.grpc.addService(echo, echoing);
    const address = await server.listen({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      access: { mode: 0o600 },
      listener: 'test',
      requireCredentials: false,
      onRefused: (reason) => refusals.push(reason),
    });
    if (address.kind !== 'tcp') throw new TypeError('not a TCP address');
    session = connect(`http://127.0.0.1:${String(address.port)}`);
    // How a flood ends is told by the codes below.
    session.on('error', () => undefined);
    await once(session, 'connect');
  });

  afterEach(async () => {
    session.destroy();
    await server.stopListening();
    server.destroy();
  });

  const echoing: UntypedServiceImplementation = {
    echo: (call: { request: Buffer }, callback: (error: null, reply: Buffer) => void) => {
      received.push(call.request.toString());
      callback(null, call.request);
    },
  };

  /** One call; answers the headers and trailers that came, in one object. */
  async function call(
    message: Buffer,
    headers: Readonly<Record<string, string>> = {},
    compressed = false,
  ): Promise<IncomingHttpHeaders> {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/test.Echo/Echo',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const all: IncomingHttpHeaders = {};
    stream.on('response', (some) => Object.assign(all, some));
    stream.on('trailers', (some) => Object.assign(all, some));
    stream.resume();
    const prefix = Buffer.alloc(5);
    prefix.writeUInt8(compressed ? 1 : 0, 0);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
    await once(stream, 'close');
    return all;
  }

  /** One frame and its acknowledgement. */
  const acknowledged = (send: (done: (error: Error | null) => void) => void): Promise<void> =>
    new Promise((resolve, reject) => {
      send((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  const ping = (): Promise<void> =>
    acknowledged((done) => {
      session.ping(Buffer.alloc(8), done);
    });
  const settings = (): Promise<void> =>
    acknowledged((done) => {
      session.settings({ initialWindowSize: 70_000 }, done);
    });

  for (const [name, send] of [
    ['PING', ping],
    ['SETTINGS', settings],
  ] as const) {
    it(`closes a connection that sends ${name} frames without end, and says so`, async () => {
      const goaway = new Promise<number>((resolve) => session.once('goaway', resolve));
      let answered = 0;
      const ended = new AbortController();
      const over = new Promise<void>((resolve) => {
        session.once('close', () => {
          ended.abort();
          resolve();
        });
      });
      // In batches: what is unanswered is bounded by Node on this side. Some never get an answer.
      while (!ended.signal.aborted && answered < 5000) {
        const one = async (): Promise<void> => {
          await send();
          answered += 1;
        };
        await Promise.race([Promise.allSettled(Array.from({ length: 5 }, one)), over]);
        await setImmediate();
      }
      expect(await goaway).to.equal(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      expect(answered).to.be.within(900, 1010);
      expect(refusals).to.deep.equal(['too many HTTP/2 control frames']);
    });
  }

  it('lets clients ping that make calls meanwhile', async () => {
    for (let calls = 0; calls < 300; calls += 1) {
      await Promise.all([call(Buffer.from('x')), ...Array.from({ length: 8 }, () => ping())]);
    }
    expect(refusals).to.deep.equal([]);
    expect(session.destroyed).to.equal(false);
  });

  it('lets clients ping that have time', async () => {
    for (let pings = 0; pings < 3000; pings += 5) {
      ms += 1000;
      await Promise.all(Array.from({ length: 5 }, () => ping()));
    }
    expect(refusals).to.deep.equal([]);
  });

  describe('compressed messages', () => {
    for (const coding of ['gzip', 'deflate', 'identity', undefined]) {
      it(`are refused before they are read: ${coding ?? 'no coding named'}`, async () => {
        const headers = coding === undefined ? {} : { 'grpc-encoding': coding };
        const answer = await call(gzipSync('hello'), headers, true);
        // 12: UNIMPLEMENTED. A message marked as compressed in no coding is the plain bytes.
        const isNamed = coding === 'gzip' || coding === 'deflate';
        if (isNamed) expect(answer['grpc-status']).to.equal('12');
        expect(received).to.not.include('hello');
      });
    }

    it('may be announced and not sent', async () => {
      const answer = await call(Buffer.from('hello'), { 'grpc-encoding': 'gzip' });
      expect(answer['grpc-status']).to.equal('0');
      expect(received).to.deep.equal(['hello']);
    });
  });
});

const bytes = (message: Buffer): Buffer => message;

const echo: ServiceDefinition = {
  echo: {
    path: '/test.Echo/Echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: bytes,
    requestDeserialize: bytes,
    responseSerialize: bytes,
    responseDeserialize: bytes,
  },
};
