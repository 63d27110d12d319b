import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { RpcServer } from '../../src/rpc/server.ts';

describe('RpcServer', () => {
  it('closes connections over its limit, and says so', async () => {
    const server = new RpcServer<string>({
      maxReceiveBytes: 1024,
      maxConnections: 2,
      maxStreamsPerConnection: 1,
      readCredentials: () => undefined,
      now: () => new Date(),
    });
    const refusals: string[] = [];
    const address = await server.listen({
      address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
      access: { mode: 0o600 },
      listener: 'test',
      requireCredentials: false,
      onRefused: (reason) => refusals.push(reason),
    });
    if (address.kind !== 'tcp') throw new TypeError('not a TCP address');
    const sockets: Socket[] = [];
    try {
      for (let opened = 0; opened < 2; opened += 1) {
        const socket = connect(address.port, address.host);
        sockets.push(socket);
        // The server's HTTP/2 settings: it was accepted.
        await once(socket, 'data');
      }
      const third = connect(address.port, address.host);
      sockets.push(third);
      third.resume();
      await once(third, 'close');
      expect(refusals).to.deep.equal(['too many connections']);
      expect(server.connectionCount).to.equal(2);
    } finally {
      for (const socket of sockets) socket.destroy();
      await server.stopListening();
      server.destroy();
    }
  });
});
