import { expect } from 'chai';
import { PeerInbox } from '../../src/offload/peer-inbox.ts';

const record = Buffer.from([22, 3, 1, 0, 3, 1, 2, 3]);
const gone = new Error('gone');

async function settled<T>(promise: Promise<T>): Promise<boolean> {
  let done = false;
  const mark = (): void => {
    done = true;
  };
  promise.then(mark, mark);
  await new Promise((resolve) => setImmediate(resolve));
  return done;
}

describe('PeerInbox', () => {
  it('hands bytes out once a whole record is there', async () => {
    const inbox = new PeerInbox();
    const read = inbox.read();
    for (const byte of record.subarray(0, -1)) inbox.push(Uint8Array.of(byte));
    expect(await settled(read)).to.equal(false);
    inbox.push(record.subarray(-1));
    expect(Buffer.from(await read).equals(record)).to.equal(true);
  });

  it('hands out all there is, with the beginning of the next record', async () => {
    const inbox = new PeerInbox();
    inbox.push(record);
    inbox.push(record.subarray(0, 2));
    expect(await inbox.read()).to.have.length(10);
    expect(inbox.drain()).to.have.length(0);
  });

  for (const { name, bytes } of [
    { name: 'HTTP', bytes: Buffer.from('GET / HTTP/1.1\r\n') },
    { name: 'an SSLv2 hello', bytes: Buffer.from([0x80, 0x2e, 1, 3, 1, 0]) },
    { name: 'a record of impossible length', bytes: Buffer.from([22, 3, 1, 0xff, 0xff]) },
  ]) {
    it(`hands out ${name} at once, for the engine to refuse`, async () => {
      const inbox = new PeerInbox();
      inbox.push(bytes);
      expect(await inbox.read()).to.have.length(bytes.length);
    });
  }

  it('gives what is left before it tells of the end', async () => {
    const inbox = new PeerInbox();
    inbox.push(record.subarray(0, 3));
    inbox.end(gone);
    expect(await inbox.read()).to.have.length(3);
    expect(await inbox.read().catch((error: unknown) => error)).to.equal(gone);
  });

  it('hands out the part of a record whose rest is long in coming', async () => {
    const inbox = new PeerInbox(undefined, 1);
    inbox.push(record.subarray(0, 6));
    expect(await inbox.read()).to.have.length(6);
    inbox.push(record.subarray(6));
    expect(await inbox.read()).to.have.length(2);
  });

  it('is not ready with part of a record, however long it takes', async () => {
    const inbox = new PeerInbox(undefined, 0);
    const ready = inbox.ready();
    inbox.push(record.subarray(0, 6));
    expect(await settled(ready)).to.equal(false);
    inbox.push(record.subarray(6));
    await ready;
    expect(await inbox.read()).to.have.length(record.length);
  });

  it('keeps bytes that ready() has only looked at', async () => {
    const inbox = new PeerInbox();
    inbox.push(record);
    await inbox.ready();
    expect(await inbox.read()).to.have.length(record.length);
  });

  it('does not hand out more than one message to the sidecar takes', async () => {
    const inbox = new PeerInbox();
    const many = Buffer.concat(Array.from({ length: 10_000 }, () => record));
    inbox.push(many);
    expect(inbox.full).to.equal(true);
    const first = await inbox.read();
    expect(first).to.have.length(65_536);
    expect(Buffer.concat([first, inbox.drain()]).equals(many)).to.equal(true);
  });

  it('copies what it is lent', async () => {
    const inbox = new PeerInbox();
    const lent = Buffer.from(record);
    inbox.push(lent);
    lent.fill(0);
    expect(Buffer.from(await inbox.read()).equals(record)).to.equal(true);
  });
});
