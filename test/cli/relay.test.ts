import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { expect } from 'chai';
import { readInput, relay } from '../../src/cli/connect/relay.ts';

class Collector extends Writable {
  readonly chunks: Buffer[] = [];
  get text(): string {
    return Buffer.concat(this.chunks).toString();
  }
  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.chunks.push(chunk);
    setImmediate(done);
  }
}

describe('relay of connect', () => {
  let server: Server;
  let answer: (peer: Socket) => void;
  let socket: Socket;
  let peer: Socket;

  beforeEach(async () => {
    server = createServer({ allowHalfOpen: true }, (accepted) => {
      peer = accepted;
      peer.on('error', () => undefined);
      answer(accepted);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(() => {
    server.close();
    socket.destroy();
    peer.destroy();
  });

  async function open(behaviour: (peer: Socket) => void): Promise<Socket> {
    answer = behaviour;
    const { port } = server.address() as AddressInfo;
    socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  }

  it('takes an answer that comes after the end of the input', async () => {
    const output = new Collector();
    const peerSawEnd: boolean[] = [];
    await open((accepted) => {
      accepted.once('data', () => {
        // The input has ended long before; the connection has not.
        setImmediate(() => {
          peerSawEnd.push(accepted.readableEnded);
          accepted.end('the answer');
        });
      });
    });
    await relay(socket, Readable.from([Buffer.from('request')]), output, undefined);
    expect(output.text).to.equal('the answer');
    expect(peerSawEnd).to.deep.equal([false]);
  });

  it('ends its side once the peer has been silent for the time given, and still reads on', async () => {
    const output = new Collector();
    await open((accepted) => {
      accepted.on('data', () => undefined);
      accepted.on('end', () => accepted.end('late'));
    });
    await relay(socket, Buffer.from('hello'), output, 1);
    expect(output.text).to.equal('late');
  });

  it('delivers everything in order to a slow output', async () => {
    const sent = Buffer.alloc(1024 * 1024, 'abcdefghijklmnopqrstuvw');
    const output = new Collector();
    await open((accepted) => accepted.end(sent));
    await relay(socket, new PassThrough(), output, undefined);
    expect(Buffer.concat(output.chunks).equals(sent)).to.equal(true);
  });

  it('reports a connection that breaks', async () => {
    await open((accepted) => {
      accepted.once('data', () => accepted.resetAndDestroy());
    });
    const failure = await relay(socket, Buffer.from('x'), new Collector(), undefined).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.have.property('code', 'ECONNRESET');
  });

  it('reports an output that breaks', async () => {
    await open((accepted) => accepted.write('x'));
    const output = new Writable({
      write: (_chunk, _encoding, done) => {
        done(new Error('no reader'));
      },
    });
    const failure = await relay(socket, new PassThrough(), output, undefined).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.have.property('message', 'no reader');
  });
});

describe('input kept for several connections', () => {
  it('is kept whole', async () => {
    const chunks = [Buffer.from('a'), Buffer.from('bc')];
    expect((await readInput(Readable.from(chunks))).toString()).to.equal('abc');
  });

  it('is bounded', async () => {
    const endless = Readable.from(
      (function* () {
        for (;;) yield Buffer.alloc(64 * 1024);
      })(),
    );
    const failure = await readInput(endless).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.be.instanceOf(RangeError);
  });
});
