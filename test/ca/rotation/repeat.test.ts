import { expect } from 'chai';
import { repeat } from '../../../src/ca/rotation/repeat.ts';

describe('repetition', () => {
  it('runs at once, again after each end, and no more once stopped', async () => {
    const timers = new HandTimers();
    let runs = 0;
    const repetition = repeat(timers, 10, () => Promise.resolve(void (runs += 1)), fail);
    await settle();
    expect(runs).to.equal(1);
    timers.fire();
    await settle();
    expect(runs).to.equal(2);
    await repetition.stop();
    timers.fire();
    await settle();
    expect(runs).to.equal(2);
    expect(timers.pending).to.equal(0);
  });

  it('runs once more when hastened during a run, never two at a time', async () => {
    const timers = new HandTimers();
    let runs = 0;
    let release: () => void = fail;
    const task = () => {
      runs += 1;
      return new Promise<void>((resolve) => (release = resolve));
    };
    const repetition = repeat(timers, 10, task, fail);
    repetition.hasten();
    repetition.hasten();
    expect(runs).to.equal(1);
    release();
    await settle();
    expect(runs).to.equal(2);
    release();
    await settle();
    expect(timers.pending).to.equal(1);
    repetition.hasten();
    expect(runs).to.equal(3);
    expect(timers.pending).to.equal(0);
    release();
    await repetition.stop();
  });

  it('goes on after a run that failed', async () => {
    const timers = new HandTimers();
    const errors: unknown[] = [];
    const problem = new Error('store away');
    const repetition = repeat(
      timers,
      10,
      () => Promise.reject(problem),
      (error) => errors.push(error),
    );
    await settle();
    timers.fire();
    await settle();
    expect(errors).to.deep.equal([problem, problem]);
    await repetition.stop();
  });
});

class HandTimers {
  readonly #due = new Set<() => void>();

  get pending(): number {
    return this.#due.size;
  }

  after(_ms: number, callback: () => void): () => void {
    this.#due.add(callback);
    return () => this.#due.delete(callback);
  }

  fire(): void {
    for (const callback of [...this.#due]) {
      this.#due.delete(callback);
      callback();
    }
  }
}

function fail(): never {
  throw new Error('was not to be called');
}

/** Lets everything that waits for nothing but promises go on. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
