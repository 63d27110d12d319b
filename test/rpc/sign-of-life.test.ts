import { expect } from 'chai';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { RpcServer } from '../../src/rpc/server.ts';

describe('RpcServer, whose client falls silent', () => {
  let server: RpcServer<string>;
  let port: number;
  const turnMs = 10;

  beforeEach(async () => {
    server = new RpcServer<string>({
      maxReceiveBytes: 1024,
      maxConnections: 10,
      maxStreamsPerConnection: 10,
      readCredentials: () => undefined,
      now: () => new Date(),
      patience: { turnMs, turns: 3 },
    });
    const address = await server.listen({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      access: { mode: 0o600 },
      listener: 'test',
      requireCredentials: false,
      onRefused: () => undefined,
    });
    if (address.kind !== 'tcp') throw new TypeError('not a TCP address');
    port = address.port;
  });

  afterEach(async () => {
    await server.stopListening();
    server.destroy();
  });

  /** A client that says hello; what it hears is dropped. */
  async function greeted(to = port): Promise<Socket> {
    const socket = connect(to, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(frame('000000', '04'));
    await once(socket, 'data');
    socket.resume();
    return socket;
  }

  async function connectionsGone(): Promise<void> {
    while (server.connectionCount > 0) await setImmediate();
  }

  for (const { name, bytes } of [
    { name: 'a frame too large', bytes: frame('ffffff', '00') },
    { name: 'PRIORITY of the wrong length', bytes: frame('000004', '02', '00000001') },
    { name: 'HEADERS on stream 0', bytes: frame('000000', '01') },
    { name: 'data for no stream', bytes: frame('000001', '00', '00000001') },
  ]) {
    it(`notices that a client left which had sent ${name}`, async () => {
      const socket = await greeted();
      socket.write(bytes);
      await once(socket, 'data');
      socket.destroy();
      await connectionsGone();
    });
  }

  it('ends a connection that Node reads no further', async () => {
    const socket = await greeted();
    socket.write(frame('ffffff', '00'));
    await once(socket, 'close');
    await connectionsGone();
  });

  it('ends one that was accepted elsewhere', async () => {
    const elsewhere = createServer((socket) => {
      socket.on('error', () => undefined);
      server.inject(
        Duplex.from({ readable: socket, writable: socket }),
        'elsewhere',
        () => undefined,
      );
    });
    elsewhere.listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const socket = await greeted((elsewhere.address() as AddressInfo).port);
    socket.write(frame('ffffff', '00'));
    await once(socket, 'close');
    await connectionsGone();
    elsewhere.close();
  });

  it('asks an idle client once, and leaves it in peace', async () => {
    const session = connectHttp2(`http://127.0.0.1:${String(port)}`);
    let pings = 0;
    session.on('ping', () => (pings += 1));
    await once(session, 'ping');
    // The answer of this one is heard some turns after the server has forgotten about the other.
    const other = await greeted();
    await once(other, 'close');
    expect({ pings, closed: session.closed }).to.deep.equal({ pings: 1, closed: false });
    session.destroy();
  });
});

/** One frame of HTTP/2 without flags: length, type, stream in hexadecimal. */
function frame(length: string, type: string, stream = '00000000'): Buffer {
  return Buffer.from(`${length}${type}00${stream}`, 'hex');
}
