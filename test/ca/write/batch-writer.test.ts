import { expect } from 'chai';
import { pino } from 'pino';
import { StoreError } from '../../../src/ca/store/options.ts';
import { CommitUnknownError, type Store } from '../../../src/ca/store/store.ts';
import type { Transaction } from '../../../src/ca/store/transaction.ts';
import { type BatchWriterOptions, createBatchWriter } from '../../../src/ca/write/batch-writer.ts';
import type { BatchWriter, Operation, Outcome } from '../../../src/ca/write/operation.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { rejection } from '../support/rejection.ts';

describe('BatchWriter', () => {
  it('commits what waits together, and keeps the order', async () => {
    const { writer, store } = setUp();
    const results = await Promise.all(range(100).map((item) => writer.submit(double, item)));
    expect(results).to.deep.equal(range(100).map((item) => item * 2));
    expect(store.batches.map((batch) => batch.length)).to.deep.equal([64, 36]);
    expect(store.batches.flat()).to.deep.equal(range(100).map(String));
  });

  it('answers only what is durable', async () => {
    const { writer, store } = setUp();
    store.hold();
    let answered = false;
    const submitted = writer.submit(double, 1).then(() => (answered = true));
    await store.reached;
    await new Promise((resolve) => setImmediate(resolve));
    expect(answered).to.equal(false);
    store.release();
    await submitted;
  });

  it('takes renewals before enrolments, and both before the rest', async () => {
    const { writer, store } = setUp({ maxBatch: 4 });
    store.hold();
    const first = writer.submit(double, 0);
    await store.reached;
    const rest = [
      ...range(3).map((item) => writer.submit(operations.other, item)),
      ...range(3).map((item) => writer.submit(operations.enroll, item)),
      ...range(3).map((item) => writer.submit(operations.renew, item)),
    ];
    store.release();
    await Promise.all([first, ...rest]);
    expect(store.batches.slice(1)).to.deep.equal([
      ['renew 0', 'renew 1', 'renew 2', 'enroll 0'],
      ['enroll 1', 'enroll 2', 'other 0', 'other 1'],
      ['other 2'],
    ]);
  });

  it('starves nobody while more urgent items keep coming', async () => {
    const { writer, store } = setUp({ maxBatch: 32 });
    store.hold();
    const first = writer.submit(double, 0);
    await store.reached;
    const rest = [
      ...range(100).map((item) => writer.submit(operations.renew, item)),
      writer.submit(operations.enroll, 0),
      writer.submit(operations.other, 0),
    ];
    store.release();
    await Promise.all([first, ...rest]);
    expect(store.batches[1]).to.include.members(['enroll 0', 'other 0', 'renew 0']);
  });

  it('refuses one item by its outcome, without touching its neighbours', async () => {
    const { writer, store } = setUp();
    const outcomes = await Promise.allSettled(
      range(4).map((item) => writer.submit(refusingTwo, item)),
    );
    expect(outcomes.map(({ status }) => status)).to.deep.equal([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
    expect(store.batches).to.have.length(1);
  });

  it('tries each item alone when a batch fails', async () => {
    const { writer, store } = setUp();
    const outcomes = await Promise.allSettled(
      range(4).map((item) => writer.submit(throwingAtTwo, item)),
    );
    const failed = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? (outcome.reason as ServiceError).status : 'done',
    );
    expect(failed).to.deep.equal(['done', 'done', 'INTERNAL', 'done']);
    expect(store.committed).to.deep.equal(['0', '1', '3']);
  });

  it('says nothing of what failed inside', async () => {
    const { writer } = setUp();
    const error = await rejection(writer.submit(throwingAtTwo, 2));
    expect(error.message).to.equal('the authority failed');
  });

  it('passes on the refusal an operation throws for a single item', async () => {
    const { writer } = setUp();
    const operation: Operation<number, number> = {
      ...double,
      apply: () => Promise.reject(new ServiceError('PERMISSION_DENIED', 'no', 'no')),
    };
    expect(await rejection(writer.submit(operation, 1))).to.include({ reason: 'no' });
  });

  for (const [what, error] of [
    ['a commit nobody knows the outcome of', new CommitUnknownError('lost')],
    ['a store that is away', new StoreError('away')],
  ] as const) {
    it(`answers "retry" to all, once, for ${what}`, async () => {
      const { writer, store } = setUp();
      store.failure = error;
      const errors = await Promise.all(
        range(3).map((item) => rejection(writer.submit(double, item))),
      );
      for (const refused of errors) {
        expect(refused).to.include({ status: 'UNAVAILABLE', retryAfterMs: 2000 });
      }
      expect(store.batches).to.have.length(1);
    });
  }

  it('bounds what waits, and says when to come again', async () => {
    const { writer, store } = setUp({ maxQueued: 10 });
    store.hold();
    const first = writer.submit(double, 0);
    await store.reached;
    const waiting = range(10).map((item) => writer.submit(double, item));
    expect(writer.queued).to.equal(10);
    const refused = await rejection(writer.submit(double, 11));
    expect(refused).to.include({ status: 'RESOURCE_EXHAUSTED' });
    expect(refused).to.have.property('retryAfterMs').within(50, 30_000);
    store.release();
    await Promise.all([first, ...waiting]);
    expect(writer.queued).to.equal(0);
  });

  it('issues nothing while the store has a problem, and revokes all the same', async () => {
    const { writer, store } = setUp();
    store.problem = 'the disk is full';
    for (const priority of ['renew', 'enroll'] as const) {
      const refused = await rejection(writer.submit(operations[priority], 1));
      expect(refused).to.include({ status: 'UNAVAILABLE' });
    }
    expect(await writer.submit(operations.other, 1)).to.equal('other 1');
  });

  it('finishes what waits when it is closed, and takes no more', async () => {
    const { writer, store } = setUp({ maxBatch: 2 });
    const submitted = Promise.all(range(5).map((item) => writer.submit(double, item)));
    await writer.close();
    expect(await submitted).to.deep.equal([0, 2, 4, 6, 8]);
    expect(store.committed).to.have.length(5);
    expect(await rejection(writer.submit(double, 1))).to.include({ reason: 'stopping' });
  });

  it('refuses an operation that does not answer for all', async () => {
    const { writer } = setUp();
    const mute: Operation<number, number> = { ...double, apply: () => Promise.resolve([]) };
    expect(await rejection(writer.submit(mute, 1))).to.include({ status: 'INTERNAL' });
  });
});

function setUp(options: Partial<BatchWriterOptions> = {}): {
  readonly writer: BatchWriter;
  readonly store: FakeStore;
} {
  const store = new FakeStore();
  const writer = createBatchWriter({
    store,
    log: pino({ level: 'silent' }),
    ...options,
  });
  return { writer, store };
}

/** Runs transactions, and holds them where a test says so. Items note themselves by auditing. */
class FakeStore implements Store {
  readonly kind = 'sqlite';
  readonly batches: string[][] = [];
  readonly committed: string[] = [];
  problem: string | undefined;
  failure: Error | undefined;
  readonly reached: Promise<void>;
  release: () => void = () => undefined;
  #held: Promise<void> = Promise.resolve();
  #reach: () => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => {
      this.#reach = resolve;
    });
  }

  get queries(): never {
    throw new Error('no queries');
  }

  snapshot(): never {
    throw new Error('no snapshot');
  }

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.release = resolve;
    });
  }

  async transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const noted: string[] = [];
    this.batches.push(noted);
    const transaction = {
      audit: ({ subject }: { readonly subject: string }) => noted.push(subject),
    };
    const result = await work(transaction as unknown as Transaction);
    this.#reach();
    await this.#held;
    if (this.failure !== undefined) throw this.failure;
    this.committed.push(...noted);
    return result;
  }

  onFeed(): () => void {
    return () => undefined;
  }

  backup(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function operationOf<Result>(
  priority: Operation<number, Result>['priority'],
  each: (item: number) => Outcome<Result>,
  noteOf: (item: number) => string = String,
): Operation<number, Result> {
  return {
    name: 'test',
    priority,
    apply: (transaction, items) => {
      const outcomes = items.map((item) => {
        transaction.audit({ actor: '', action: '', subject: noteOf(item), outcome: 'done' });
        return each(item);
      });
      return Promise.resolve(outcomes);
    },
  };
}

const double = operationOf('enroll', (item) => ({ ok: true, value: item * 2 }));

const named = (priority: Operation<number, string>['priority']): Operation<number, string> => {
  const text = (item: number): string => `${priority} ${String(item)}`;
  return operationOf(priority, (item) => ({ ok: true, value: text(item) }), text);
};
const operations = { renew: named('renew'), enroll: named('enroll'), other: named('other') };

const refusingTwo = operationOf('enroll', (item) =>
  item === 2
    ? { ok: false, error: new ServiceError('PERMISSION_DENIED', 'refused', 'no') }
    : { ok: true, value: item },
);

const throwingAtTwo = operationOf('enroll', (item) => {
  if (item === 2) throw new Error('a secret of the inside');
  return { ok: true as const, value: item };
});
