import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { EventSpool } from '../../../../src/apps/agent/events/event-spool.ts';
import { Segment, segmentName } from '../../../../src/apps/agent/events/segment.ts';
import { StateDirectory } from '../../../../src/identity/index.ts';
import { StoppingDisk } from '../../../support/stopping-disk.ts';
import { stillSurroundings } from '../support/surroundings.ts';
import { EventPuller } from './event-puller.ts';

describe('the event spool of an agent', () => {
  let path: string;
  let directory: StateDirectory;
  let spool: EventSpool | undefined;
  let surroundings: ReturnType<typeof stillSurroundings>;
  let retry: () => void;

  beforeEach(async () => {
    path = mkdtempSync(join(tmpdir(), 'sidekey-spool-'));
    directory = await StateDirectory.open(path);
    const after = (_ms: number, callback: () => void) => {
      retry = callback;
      return () => undefined;
    };
    surroundings = { ...stillSurroundings(), timers: { after } };
  });

  afterEach(async () => {
    await spool?.close();
    spool = undefined;
    await directory.close();
    rmSync(path, { recursive: true, force: true });
  });

  async function open(maxBytes = 1024 * 1024): Promise<EventSpool> {
    await spool?.close();
    spool = await EventSpool.open(directory, { maxBytes, ...surroundings });
    return spool;
  }

  async function fill(into: EventSpool, count: number, message = 'event'): Promise<void> {
    for (let at = 1; at <= count; at += 1) {
      into.add('problem', `${message} ${String(at)}`);
      await into.settled();
    }
  }

  const files = (): readonly string[] => readdirSync(join(path, 'events')).sort();
  const file = (name: string): string => join(path, 'events', name);

  it('gives the number of an event that was cut short to the next one, wherever the cut is', async () => {
    await fill(await open(), 3);
    await spool?.close();
    const name = file(segmentName(1));
    const whole = readFileSync(name);
    const lines = whole.toString('latin1').split('\n');
    const start = whole.length - lines[2]!.length - 1;
    for (let cut = start; cut < whole.length; cut += 1) {
      writeFileSync(name, whole.subarray(0, cut));
      const { ends, beyond, kept } = await recovered();
      expect({ ends, beyond, kept }, String(cut)).to.deep.equal({
        ends: 2,
        beyond: 0,
        kept: start,
      });
    }
    const again = await open();
    expect(again.head).to.equal(2);
    await fill(again, 1, 'the third');
    const puller = new EventPuller();
    await puller.pullAll(again);
    expect(puller.received.get(3)?.message).to.equal('the third 1');
    expect(puller.gaps).to.deep.equal([]);

    async function recovered() {
      const segment = await Segment.recover(join(path, 'events'), 1, true);
      await segment.close();
      const { length: kept } = readFileSync(name);
      return { ends: segment.last, beyond: segment.highest - segment.last, kept };
    }
  });

  it('gives no number twice when what is damaged is not the end', async () => {
    await fill(await open(), 5);
    await spool?.close();
    const bytes = readFileSync(file(segmentName(1)));
    bytes[bytes.indexOf('event 2')]! ^= 1;
    writeFileSync(file(segmentName(1)), bytes);
    const again = await open();
    expect(again.head).to.equal(5);
    await fill(again, 1, 'the sixth');
    const puller = new EventPuller();
    await puller.pullAll(again);
    expect([...puller.received.keys()]).to.deep.equal([1, 6]);
    expect(puller.gaps).to.deep.equal([{ from: 2, to: 5 }]);
    expect(surroundings.lines.map(({ msg }) => msg)).to.include(
      'some events on disk cannot be read',
    );
  });

  for (const { name, damage } of [
    { name: 'is damaged in its middle', damage: (bytes: Buffer) => bytes.fill(0, 10, 20) },
    { name: 'is empty', damage: () => Buffer.alloc(0) },
    { name: 'holds something else', damage: () => Buffer.from('\n{}\nnothing of ours\n') },
    { name: 'is one long line', damage: () => Buffer.alloc(100_000, 0x61) },
  ]) {
    for (const running of [true, false]) {
      it(`marks a gap where a segment ${name}, found ${running ? 'while it runs' : 'at its start'}`, async () => {
        let one = await open(4096);
        await fill(one, 14);
        const [, second, third] = files();
        const [from, to] = [Number.parseInt(second!, 10), Number.parseInt(third!, 10) - 1];
        writeFileSync(file(second!), damage(readFileSync(file(second!))));
        if (!running) one = await open(4096);
        const puller = new EventPuller();
        await puller.pullAll(one, 2);
        expect(puller.gaps).to.deep.equal([{ from, to }]);
        expect(puller.received.size).to.equal(14 - (to - from + 1));
        expect(one.head).to.equal(14);
      });
    }
  }

  it('marks a gap where a segment was removed while it runs', async () => {
    const one = await open(4096);
    await fill(one, 14);
    rmSync(file(files()[1]!));
    const puller = new EventPuller();
    await puller.pullAll(one);
    expect(puller.gaps).to.have.length(1);
    expect(puller.after).to.equal(14);
  });

  it('does not start on what is no file of its own, and says which it is', async () => {
    await (await open()).close();
    spool = undefined;
    rmSync(file(segmentName(1)));
    writeFileSync(file(segmentName(1)), Buffer.alloc(16 * 1024 * 1024 + 1));
    const error = await EventSpool.open(directory, { maxBytes: 4096, ...surroundings }).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    expect(error?.name).to.equal('StateError');
    expect(error?.message).to.include(segmentName(1)).and.to.include('is longer than');
  });

  it('stays within its bound, and counts and marks what gave way', async () => {
    const maxBytes = 8192;
    const one = await open(maxBytes);
    for (let at = 1; at <= 200; at += 1) {
      await fill(one, 1, `${'x'.repeat(at)} `);
      const total = files().reduce((sum, name) => sum + readFileSync(file(name)).length, 0);
      // One event of these may be on top.
      expect(total).to.be.most(maxBytes + 400);
    }
    const puller = new EventPuller();
    await puller.pullAll(one, 7);
    expect(puller.gaps).to.have.length(1);
    const [{ from, to }] = puller.gaps as [{ from: number; to: number }];
    expect(from).to.equal(1);
    expect(one.dropped).to.equal(to);
    expect(puller.received.size).to.equal(200 - to);
    expect((await open(maxBytes)).dropped).to.equal(to);
  });

  it('keeps events in memory while the disk is full, says so, and writes them once there is room', async () => {
    const disk = new StoppingDisk(path, Infinity, true);
    const restore = disk.install();
    try {
      const one = await open();
      await fill(one, 2);
      disk.stopAt = disk.steps;
      await fill(one, 3, 'later');
      expect({ head: one.head, failing: one.failing }).to.deep.equal({ head: 2, failing: true });
      expect(surroundings.lines.filter(({ level }) => level === 50)).to.have.length(1);
      disk.stopAt = Infinity;
      retry();
      await one.settled();
      expect({ head: one.head, failing: one.failing }).to.deep.equal({ head: 5, failing: false });
      const puller = new EventPuller();
      await puller.pullAll(one);
      expect(puller.received.get(5)?.message).to.equal('later 3');
    } finally {
      restore();
    }
  });

  it('says how many events it had no room for in memory either', async () => {
    const disk = new StoppingDisk(path, Infinity, true);
    const restore = disk.install();
    try {
      const one = await open();
      disk.stopAt = disk.steps;
      for (let at = 1; at <= 4100; at += 1) one.add('problem', 'event');
      await one.settled();
      expect(one.dropped).to.equal(4);
      disk.stopAt = Infinity;
      retry();
      await one.settled();
      const page = await one.read(512, 1);
      expect(page.events[0]?.facts).to.deep.equal({ lost: 4 });
      expect(one.dropped).to.equal(4);
      expect(one.head).to.equal(4097);
    } finally {
      restore();
    }
  });
});
