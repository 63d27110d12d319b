import type { Logger } from 'pino';
import { crashPoint } from '../crash-points.ts';
import { StoreError } from './options.ts';
import type { Queries, Transaction } from './transaction.ts';
import { type Head, TransactionScope } from './transaction-scope.ts';
import { agrees, type Witness } from './witness.ts';

/** A connection on which one transaction runs. */
export interface Session {
  readonly queries: Queries;
  /** Begins, and waits for the right to write alone. */
  begin(): Promise<void>;
  /** Called before the commit of a transaction that published to the feed. */
  announce(): Promise<void>;
  /** Commits with full durability; `start` and `head` are the audit log before and after. */
  commit(start: Head, head: Head): Promise<void>;
  rollback(): Promise<void>;
}

export interface RunnerOptions {
  readonly epoch: string;
  readonly now: () => Date;
  readonly log: Logger;
  readonly rowLocks: boolean;
  readonly witness: Witness;
  readonly onCommit?: ((durationMs: number) => void) | undefined;
  /** The moment of the last transaction. */
  readonly lastMoment: number;
  /** Of a backup copy that was opened in place of the store. */
  readonly copiedAt?: Date | undefined;
}

/**
 * What both stores do for a transaction: one at a time, numbered, on a clock that never goes back, and
 * only on a store that has not lost commits.
 */
export class TransactionRunner {
  readonly #options: RunnerOptions;
  readonly #wakers = new Set<() => void>();
  #last: Promise<unknown> = Promise.resolve();
  #lastMoment: number;
  #lostCommits: string | undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#lastMoment = options.lastMoment;
    if (options.copiedAt !== undefined) {
      this.#lostCommits = `this is a backup of ${options.copiedAt.toISOString()}: ${askRestore}`;
    }
  }

  get problem(): string | undefined {
    if (this.#lostCommits !== undefined) return this.#lostCommits;
    const behindMs = this.#lastMoment - this.#options.now().getTime();
    if (behindMs <= clockToleranceMs) return undefined;
    return `the clock is ${String(Math.round(behindMs / 1000))} s behind the last change made here`;
  }

  /**
   * Runs `work` on `session`. `restoring` lets it pass on a store that lost commits, for the one
   * change that accepts this.
   */
  run<T>(
    withSession: (use: (session: Session) => Promise<T>) => Promise<T>,
    work: (transaction: Transaction) => Promise<T>,
    restoring = false,
  ): Promise<T> {
    const turn = this.#last.then(() =>
      withSession((session) => this.#transact(session, work, restoring)),
    );
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Resolves when no transaction is under way or waits. */
  async idle(): Promise<void> {
    await this.#last;
  }

  onFeed(wake: () => void): () => void {
    // A function of its own for each call, so that the same one given twice is called twice.
    const waker = (): void => {
      wake();
    };
    this.#wakers.add(waker);
    return () => this.#wakers.delete(waker);
  }

  wake(): void {
    for (const waker of this.#wakers) waker();
  }

  async #transact<T>(
    session: Session,
    work: (transaction: Transaction) => Promise<T>,
    restoring: boolean,
  ): Promise<T> {
    const { epoch, now, rowLocks, witness, log } = this.#options;
    let scope;
    let result;
    let head;
    try {
      await session.begin();
      scope = await TransactionScope.open(session.queries, { now: now().getTime(), rowLocks });
      if (!restoring) await this.#checkWitness(session, scope.start);
      result = await work(scope);
      head = await scope.finish();
      if (scope.published) await session.announce();
    } catch (error) {
      await session.rollback().catch((rollbackError: unknown) => {
        log.warn({ err: rollbackError }, 'a transaction could not be rolled back');
      });
      throw error;
    }
    crashPoint('write.before_commit');
    const started = performance.now();
    await session.commit(scope.start, head);
    this.#options.onCommit?.(performance.now() - started);
    crashPoint('write.after_commit');
    this.#lastMoment = Math.max(this.#lastMoment, scope.now);
    if (!restoring) witness.saw(epoch, head);
    if (scope.published) this.wake();
    return result;
  }

  async #checkWitness(session: Session, start: Head): Promise<void> {
    const expected = this.#options.witness.expected(this.#options.epoch);
    if (expected !== undefined && !agrees(expected, start)) {
      const found = await session.queries
        .selectFrom('audit')
        .select(['seq', 'hash'])
        .where('seq', '=', expected.seq)
        .executeTakeFirst();
      if (expected.seq > 0 && !agrees(expected, found)) {
        this.#lostCommits = `the store is older than what this replica has seen (restored from a backup, or taken over by a standby that lagged behind): ${askRestore}`;
        this.#options.log.error(
          { expected: expected.seq, found: start.seq },
          'the store has lost commits',
        );
      }
    }
    if (this.#lostCommits !== undefined) throw new StoreError(this.#lostCommits);
  }
}

const askRestore =
  'nothing is changed until an operator accepts it with "sidekey authority restore"';
/** What time synchronisation may do without anybody being told. */
const clockToleranceMs = 60_000;
