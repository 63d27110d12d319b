import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { expect } from 'chai';
import { relayPair } from '../../../src/cli/forward/relay-pair.ts';
import { memoryPair } from '../../offload/support/memory-pair.ts';

const abandon = (side: Duplex): void => {
  if (!side.destroyed) side.destroy(new Error('abandoned'));
};

describe('relayPair', () => {
  function joined() {
    const [caller, callerInside] = memoryPair('as written');
    const [target, targetInside] = memoryPair('as written');
    const relayed = relayPair(callerInside, targetInside, abandon);
    for (const end of [caller, target]) end.on('error', () => undefined);
    return { caller, target, relayed };
  }

  it('counts what passes each way until both have ended', async () => {
    const { caller, target, relayed } = joined();
    caller.end('12345');
    await once(
      target.on('data', () => undefined),
      'end',
    );
    target.end('123');
    await once(caller.resume(), 'end');
    expect(await relayed).to.deep.equal({ towardsTarget: 5, towardsCaller: 3 });
  });

  it('keeps one direction open when the other has ended', async () => {
    const { caller, target, relayed } = joined();
    caller.end();
    await once(target.resume(), 'end');
    target.write('still here');
    expect(String(((await once(caller, 'data')) as [Buffer])[0])).to.equal('still here');
    target.end();
    expect(await relayed).not.to.have.property('error');
  });

  it('breaks one side when the other breaks', async () => {
    const { target, relayed } = joined();
    target.other?.destroy(new Error('cable cut'));
    const { error } = await relayed;
    expect(error).to.have.property('message', 'cable cut');
  });

  it('does not take a side that vanished for one that ended', async () => {
    const { caller, relayed } = joined();
    caller.other?.destroy();
    expect((await relayed).error).to.be.instanceOf(Error);
  });

  it('reads no more than it can write', async () => {
    let produced = 0;
    const source = new Duplex({
      allowHalfOpen: true,
      highWaterMark: 1024,
      read() {
        produced += 1024;
        this.push(Buffer.alloc(1024));
      },
      write(_chunk, _encoding, done) {
        done();
      },
    });
    let release: (() => void) | undefined;
    const stuck = new Duplex({
      allowHalfOpen: true,
      highWaterMark: 1024,
      read: () => undefined,
      write(_chunk, _encoding, done) {
        release = done;
      },
    });
    const relayed = relayPair(source, stuck, abandon);
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    const before = produced;
    expect(before).to.be.lessThan(10 * 1024);
    release?.();
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(produced).to.be.greaterThan(before);
    source.destroy();
    await relayed;
  });
});
