import { expect } from 'chai';
import { Admission, type Slot } from '../../src/sidecar/admission.ts';
import type { ServiceError } from '../../src/rpc/errors.ts';

/** Timers that run when the test says so. */
class FakeTimers {
  #now = 0;
  #timers: { at: number; run: () => void }[] = [];

  readonly schedule = (delayMs: number, run: () => void): (() => void) => {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  };

  get pending(): number {
    return this.#timers.length;
  }

  advance(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { run } of due) run();
  }
}

function setUp(options: { slots?: number; queue?: number; callerShare?: number } = {}) {
  const timers = new FakeTimers();
  const admission = new Admission({
    slots: options.slots ?? 2,
    queue: options.queue ?? 4,
    queueTimeoutMs: 1000,
    callerShare: options.callerShare ?? 1,
    schedule: timers.schedule,
  });
  const granted: string[] = [];
  const refused: string[] = [];
  const slots = new Map<string, Slot>();
  const errors: ServiceError[] = [];
  const ask = (name: string, caller = name) =>
    admission.acquire(
      caller,
      (slot) => {
        granted.push(name);
        slots.set(name, slot);
      },
      (error) => {
        refused.push(name);
        errors.push(error);
      },
    );
  return { timers, admission, granted, refused, errors, ask, slots };
}

describe('Admission', () => {
  it('gives slots at once while there are some', () => {
    const { ask, granted, admission } = setUp();
    expect(ask('a')).to.equal(undefined);
    expect(ask('b')).to.equal(undefined);
    expect(granted).to.deep.equal(['a', 'b']);
    expect(admission.inFlight).to.equal(2);
  });

  it('lets the others wait, first come first served', () => {
    const { ask, granted, admission, slots, timers } = setUp();
    for (const name of ['a', 'b', 'c', 'd']) ask(name);
    expect(admission.queued).to.equal(2);
    slots.get('b')!.release();
    slots.get('a')!.release();
    expect(granted).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(admission.queued).to.equal(0);
    expect(timers.pending).to.equal(0);
  });

  it('takes a slot back once, however often it is given', () => {
    const { ask, admission, slots } = setUp({ slots: 1 });
    ask('a');
    slots.get('a')!.release();
    slots.get('a')!.release();
    expect(admission.inFlight).to.equal(0);
    ask('b');
    slots.get('a')!.release();
    expect(admission.inFlight).to.equal(1);
  });

  it('refuses who waited too long, with advice when to come again', () => {
    const { ask, refused, errors, admission, timers } = setUp({ slots: 1 });
    ask('a');
    ask('b');
    timers.advance(999);
    expect(refused).to.deep.equal([]);
    timers.advance(1);
    expect(refused).to.deep.equal(['b']);
    expect(errors[0]).to.include({ status: 'RESOURCE_EXHAUSTED', reason: 'overloaded' });
    expect(errors[0]!.retryAfterMs).to.equal(1000);
    expect(admission.queued).to.equal(0);
  });

  it('refuses at once when the queue is full', () => {
    const { ask, refused } = setUp({ slots: 1, queue: 1 });
    ask('a');
    ask('b');
    expect(ask('c')).to.equal(undefined);
    expect(refused).to.deep.equal(['c']);
  });

  it('lets one leave the queue', () => {
    const { ask, granted, refused, slots, timers } = setUp({ slots: 1 });
    ask('a');
    ask('b')!.cancel();
    ask('c');
    slots.get('a')!.release();
    timers.advance(5000);
    expect(granted).to.deep.equal(['a', 'c']);
    expect(refused).to.deep.equal([]);
  });

  it('passes over a caller who holds his share while others wait', () => {
    const { ask, granted, slots } = setUp({ slots: 4, callerShare: 0.25, queue: 8 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) ask(name, 'a');
    ask('b1', 'b');
    slots.get('a1')!.release();
    expect(granted.at(-1)).to.equal('b1');
  });

  it('gives a caller more than his share when nobody else waits', () => {
    const { ask, granted, slots } = setUp({ slots: 4, callerShare: 0.25, queue: 8 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) ask(name, 'a');
    slots.get('a1')!.release();
    expect(granted.at(-1)).to.equal('a5');
  });

  it('makes room in a full queue at the expense of the longest line', () => {
    const { ask, granted, refused, slots } = setUp({ slots: 1, queue: 3 });
    for (const name of ['a0', 'a1', 'a2', 'a3']) ask(name, 'a');
    ask('b1', 'b');
    expect(refused).to.deep.equal(['a3']);
    slots.get('a0')!.release();
    slots.get('a1')!.release();
    slots.get('a2')!.release();
    expect(granted).to.deep.equal(['a0', 'a1', 'a2', 'b1']);
  });

  it('does not let two callers with equal lines push each other out', () => {
    const { ask, refused } = setUp({ slots: 1, queue: 2 });
    ask('a0', 'a');
    ask('a1', 'a');
    ask('b1', 'b');
    ask('b2', 'b');
    ask('a2', 'a');
    expect(refused).to.deep.equal(['b2', 'a2']);
  });

  it('survives a long queue of which everyone gives his slot back at once', () => {
    const timers = new FakeTimers();
    const admission = new Admission({
      slots: 1,
      queue: 50_000,
      queueTimeoutMs: 1000,
      callerShare: 1,
      schedule: () => () => undefined,
    });
    let first: Slot | undefined;
    let count = 0;
    admission.acquire(
      'a',
      (slot) => (first = slot),
      () => undefined,
    );
    for (let index = 0; index < 20_000; index += 1) {
      admission.acquire(
        'a',
        (slot) => {
          count += 1;
          slot.release();
        },
        () => undefined,
      );
    }
    first!.release();
    expect(count).to.equal(20_000);
    expect(admission.inFlight).to.equal(0);
    expect(timers.pending).to.equal(0);
  });
});
