import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect } from 'chai';
import { type PassedMessage, Tap } from '../../src/cli/demo/tap.ts';

describe('tap of the demo', () => {
  it('passes everything on unchanged, with half-closes, and names what passes', async () => {
    const clientHello = Buffer.from([22, 3, 1, 0, 5, 1, 0, 0, 1, 9]);
    const answer = Buffer.concat([
      Buffer.from([21, 3, 3, 0, 2, 2, 40]),
      Buffer.from([23, 3, 3, 0x40, 0]),
      Buffer.alloc(0x4000, 5),
    ]);
    const received: Buffer[] = [];
    const server = createServer({ allowHalfOpen: true }, (peer) => {
      peer.on('data', (chunk) => received.push(chunk));
      // Only after the client's end: had the tap closed both ways, the answer would be lost.
      peer.on('end', () => peer.end(answer));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const tap = await Tap.open((server.address() as AddressInfo).port);
    const seen: PassedMessage[] = [];
    tap.onMessage = (message) => seen.push(message);
    const passed = tap.passed(answer.length);

    const client = connect({ port: tap.port, host: '127.0.0.1', allowHalfOpen: true });
    client.end(clientHello);
    const chunks: Buffer[] = [];
    for await (const chunk of client as AsyncIterable<Buffer>) chunks.push(chunk);
    await passed;

    expect(Buffer.concat(received).equals(clientHello)).to.equal(true);
    expect(Buffer.concat(chunks).equals(answer)).to.equal(true);
    expect(tap.bytesFromServer).to.equal(answer.length);
    expect(seen).to.deep.equal([
      { from: 'client', name: 'ClientHello' },
      { from: 'server', name: 'alert handshake_failure' },
      { from: 'server', name: 'application data' },
    ]);
    tap.close();
    server.close();
  });
});
