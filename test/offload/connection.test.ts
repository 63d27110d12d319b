import { once } from 'node:events';
import { expect } from 'chai';
import { createOffload, type Offload } from '../../src/offload/index.ts';
import { readBytes, securePair } from './support/connections.ts';
import { FakeSidecar } from './support/fake-sidecar.ts';

describe('connect and createServer', () => {
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

  it('moves data both ways', async () => {
    const { client, server, close } = await securePair(offload);
    client.write('ping');
    expect((await readBytes(server, 4)).toString()).to.equal('ping');
    server.write('pong');
    expect((await readBytes(client, 4)).toString()).to.equal('pong');
    await close();
  });

  it('ends in order on both sides', async () => {
    const { client, server, close } = await securePair(offload);
    server.resume();
    client.resume();
    client.end('last words');
    await Promise.all([once(client, 'close'), once(server, 'close')]);
    expect(server.bytesRead).to.equal(10);
    await close();
  });
});
