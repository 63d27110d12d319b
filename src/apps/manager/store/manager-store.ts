import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import { type Database, openDatabase } from '../../../database/database.ts';
import type { DatabaseKind } from '../../../database/dialect.ts';
import { fleetTables } from './migrations/0001-fleet.ts';
import { eventsStored } from './migrations/0002-events-stored.ts';
import type { Schema } from './schema.ts';

export type Queries = Kysely<Schema>;

/** What was done, by whom, to what. */
export interface AuditEntry {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  /** Without secrets. */
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}

/** One transaction: all of it becomes durable, or nothing. */
export interface Transaction {
  readonly queries: Queries;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The next number of a sequence. */
  next(counter: string): Promise<number>;
  audit(entry: AuditEntry): Promise<void>;
}

export interface ManagerStoreOptions {
  /** `sqlite:PATH` or `postgres://…`. */
  readonly url: string;
  readonly now: () => Date;
  readonly log: Logger;
}

/** Where a manager keeps its fleet. */
export class ManagerStore {
  readonly #database: Database<Schema>;
  readonly #now: () => Date;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | undefined;

  private constructor(database: Database<Schema>, now: () => Date) {
    this.#database = database;
    this.#now = now;
  }

  /** Rejects with `StoreError`. */
  static async open({ url, now, log }: ManagerStoreOptions): Promise<ManagerStore> {
    const database = await openDatabase<Schema>({
      url,
      log,
      migrations: [fleetTables, eventsStored],
    });
    return new ManagerStore(database, now);
  }

  get kind(): DatabaseKind {
    return this.#database.kind;
  }

  get reads(): Queries {
    return this.#database.reads;
  }

  get problem(): string | undefined {
    return this.#database.problem;
  }

  /** Runs `work` in a transaction of its own, durable before this resolves. */
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return this.#database.transact((queries) => work(this.#scope(queries)));
  }

  /**
   * Has `work` done together with what others ask for at the same time, in one transaction, durable before
   * this resolves. For many small writes that do not depend on each other; `work` is done again, alone, when another
   * of them fails.
   */
  together<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let done: { readonly result: T } | undefined;
      this.#waiting.push({
        work: async (transaction) => {
          done = { result: await work(transaction) };
        },
        resolve: () => {
          if (done !== undefined) resolve(done.result);
        },
        reject,
      });
      this.#flushing ??= this.#flush();
    });
  }

  async close(): Promise<void> {
    await this.#flushing;
    await this.#database.close();
  }

  async #flush(): Promise<void> {
    // What is asked for in this turn of the event loop comes along.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, maxTogether);
      try {
        await this.transact(async (transaction) => {
          for (const { work } of batch) await work(transaction);
        });
        for (const { resolve } of batch) resolve();
      } catch (error) {
        await this.#oneByOne(batch, error);
      }
    }
    this.#flushing = undefined;
  }

  /** One of them spoiled it, and nothing says which. */
  async #oneByOne(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length === 1 || this.problem !== undefined) {
      for (const { reject } of batch) reject(error);
      return;
    }
    for (const { work, resolve, reject } of batch) await this.transact(work).then(resolve, reject);
  }

  #scope(queries: Queries): Transaction {
    const now = this.#now().getTime();
    const next = async (name: string): Promise<number> => {
      const { value } = await queries
        .insertInto('counter')
        .values({ name, value: 1 })
        .onConflict((conflict) =>
          conflict.column('name').doUpdateSet((row) => ({ value: row('counter.value', '+', 1) })),
        )
        .returning('value')
        .executeTakeFirstOrThrow();
      return value;
    };
    return {
      queries,
      now,
      next,
      audit: async ({ actor, action, subject, details = {} }) => {
        const row = { actor, action, subject, details: JSON.stringify(details).slice(0, 4096) };
        await queries
          .insertInto('audit')
          .values({ ...row, seq: await next('audit'), at: now })
          .execute();
      },
    };
  }
}

interface Waiting {
  readonly work: (transaction: Transaction) => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const maxTogether = 256;
