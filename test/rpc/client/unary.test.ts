import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { expect } from 'chai';
import { GrpcChannel } from '../../../src/rpc/client/grpc-channel.ts';
import { frameMessage } from '../../../src/rpc/client/grpc-framing.ts';
import { GrpcStatus, GrpcStatusError } from '../../../src/rpc/client/grpc-status.ts';
import { unary, type UnaryMethod } from '../../../src/rpc/client/unary.ts';
import { memoryPair } from '../../offload/support/memory-pair.ts';

const echo: UnaryMethod<string, string> = {
  path: '/test.Echo/Say',
  requestSerialize: (text) => Buffer.from(text),
  responseDeserialize: (bytes) => {
    if (bytes.length === 0) throw new RangeError('nothing there');
    return bytes.toString();
  },
};

describe('unary', () => {
  let server: Http2Server;
  let channel: GrpcChannel;
  let connections = 0;
  let seen: Record<string, unknown> = {};
  let answer: (stream: ServerHttp2Stream) => void;

  beforeEach(() => {
    connections = 0;
    server = createServer();
    server.on('stream', (stream, headers) => {
      seen = headers;
      stream.on('error', () => undefined);
      answer(stream);
    });
    channel = new GrpcChannel({
      peer: 'authority',
      closedError: () => new Error('closed'),
      connect: () => {
        connections += 1;
        const [left, right] = memoryPair('as written');
        server.emit('connection', right);
        return Promise.resolve(left);
      },
    });
  });

  afterEach(async () => {
    await channel.close();
  });

  it('sends one message and answers with one, over any stream', async () => {
    answer = (stream) => {
      respond(stream, '0', Buffer.from('hello'));
    };
    expect(await unary(channel, echo, 'hi', { metadata: { 'x-a': 'b' } })).to.equal('hello');
    expect(await unary(channel, echo, 'hi', { timeoutMs: 5000 })).to.equal('hello');
    expect(connections).to.equal(1);
    expect(seen['grpc-timeout']).to.equal('5000m');
    expect(seen[':authority']).to.equal('authority');
    expect(seen[':path']).to.equal('/test.Echo/Say');
  });

  it('rejects with what the server says, and its advice', async () => {
    answer = (stream) => {
      stream.respond(
        {
          'content-type': 'application/grpc',
          'grpc-status': '8',
          'grpc-message': 'too%20many',
          'sidekey-reason': 'busy',
          'sidekey-retry-after-ms': '250',
        },
        { endStream: true },
      );
    };
    const error = await failure(unary(channel, echo, 'hi'));
    if (!(error instanceof GrpcStatusError)) throw error;
    expect(error.code).to.equal(GrpcStatus.resourceExhausted);
    expect(error.details).to.equal('too many');
    expect(error.advice).to.deep.include({ reason: 'busy', retryAfterMs: 250 });
  });

  it('gives up when time is up, and tells the server', async () => {
    let reset = false;
    answer = (stream) => {
      stream.on('aborted', () => {
        reset = true;
      });
      stream.resume();
    };
    const error = await failure(unary(channel, echo, 'hi', { timeoutMs: 20 }));
    expect(error).to.have.property('code', GrpcStatus.deadlineExceeded);
    answer = (stream) => {
      respond(stream, '0', Buffer.from('later'));
    };
    expect(await unary(channel, echo, 'hi')).to.equal('later');
    expect(reset).to.equal(true);
  });

  it('gives up when told to, before and while it waits', async () => {
    answer = (stream) => {
      stream.resume();
    };
    const reason = new Error('stopped');
    expect(
      await failure(unary(channel, echo, 'hi', { signal: AbortSignal.abort(reason) })),
    ).to.equal(reason);
    const controller = new AbortController();
    const call = failure(unary(channel, echo, 'hi', { signal: controller.signal }));
    setImmediate(() => {
      controller.abort(reason);
    });
    expect(await call).to.equal(reason);
  });

  const bad: readonly { name: string; bytes: Uint8Array | undefined; message: RegExp }[] = [
    { name: 'no message', bytes: undefined, message: /without an answer/ },
    { name: 'an answer that is not one', bytes: new Uint8Array(), message: /cannot be decoded/ },
  ];
  for (const { name, bytes, message } of bad) {
    it(`refuses ${name}`, async () => {
      answer = (stream) => {
        respond(stream, '0', bytes);
      };
      const error = await failure(unary(channel, echo, 'hi'));
      expect(error).to.have.property('code', GrpcStatus.internal);
      expect(error.message).to.match(message);
    });
  }

  it("rejects with the connection's own error when there is none, and after the end", async () => {
    const refused = new Error('nobody there');
    const lonely = new GrpcChannel({
      peer: 'authority',
      closedError: () => new Error('closed'),
      connect: () => Promise.reject(refused),
    });
    expect(await failure(unary(lonely, echo, 'hi'))).to.equal(refused);
    await lonely.close();
    expect((await failure(unary(lonely, echo, 'hi'))).message).to.equal('closed');
  });
});

function respond(stream: ServerHttp2Stream, status: string, message: Uint8Array | undefined): void {
  stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'grpc-status': status });
  });
  if (message !== undefined) stream.write(frameMessage(message));
  stream.end();
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('did not fail');
}
