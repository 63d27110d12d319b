import { toHex } from '../../bytes/bytes.ts';
import { type CrlEntries, encodeCrlToBeSigned } from '../../pki/index.ts';
import { joinSignature } from '../../pki/issue-certificate.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import type { AuthorityContext } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import type { Generation } from '../generations/generation.ts';
import { distributionAt } from '../http/urls.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import { type Lease, LeaseLostError, withLease } from '../leases.ts';
import { every, nodeTimers, type Timers } from '../timers.ts';
import { feedHead } from '../trust/feed.ts';
import type { TrustFeed } from '../trust/trust-feed.ts';
import {
  collectAll,
  collectSince,
  collectTainted,
  crlCounter,
  type CrlRecord,
  hasRevocationsAfter,
  type IssuerCrls,
  readCrlDer,
  readCrls,
} from './crl-rows.ts';
import { type CrlDue, crlDue, type CrlTiming, defaultCrlTiming } from './crl-schedule.ts';

export interface CrlPublisherOptions {
  readonly context: AuthorityContext;
  /** Says when something was revoked. */
  readonly feed: TrustFeed;
  /** Where CRLs can be had; absent: they do not say where their deltas are. */
  readonly publicUrl?: string;
  readonly timing?: Partial<CrlTiming>;
  readonly timers?: Timers;
}

/** One CRL as it is served. */
export interface PublishedCrl extends CrlRecord {
  readonly der: Uint8Array;
}

/**
 * Publishes CRLs of every CA of this authority: complete ones on schedule, deltas on schedule and
 * soon after revocations. One replica at a time makes them; all of them serve them, from memory.
 * Nobody waits for it: revocations are told to hosts by the feed, at once.
 */
export class CrlPublisher {
  readonly #options: CrlPublisherOptions;
  readonly #timing: CrlTiming;
  readonly #timers: Timers;
  readonly #published = new Map<string, { complete?: PublishedCrl; delta?: PublishedCrl }>();
  readonly #stops: (() => void)[] = [];
  #stopSoon: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #problem: string | undefined;
  #closed = false;

  constructor(options: CrlPublisherOptions) {
    this.#options = options;
    this.#timing = { ...defaultCrlTiming, ...options.timing };
    this.#timers = options.timers ?? nodeTimers;
  }

  /** Publishes what is due, and goes on doing so. */
  async start(): Promise<void> {
    const { feed, context } = this.#options;
    this.#stops.push(
      every(this.#timers, lookEveryMs, () => {
        this.wake();
      }),
      context.generations.onChange(() => {
        this.wake();
      }),
      feed.onBatch(({ items }) => {
        const isNews = items.some(
          ({ type }) => type === 'certificate_revoked' || type === 'agent_revoked',
        );
        if (isNews) this.#wakeAfter(this.#timing.minIntervalMs);
      }),
    );
    await this.publish();
  }

  /** The newest complete CRL of a CA generation; `undefined`: there is none. */
  complete(issuer: Uint8Array): PublishedCrl | undefined {
    return this.#published.get(toHex(issuer))?.complete;
  }

  /** The newest delta. */
  delta(issuer: Uint8Array): PublishedCrl | undefined {
    return this.#published.get(toHex(issuer))?.delta;
  }

  /** Why CRLs may be outdated; `undefined`: nothing is known against them. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Looks soon whether something is due. */
  wake(): void {
    // It does not reject.
    void this.publish();
  }

  /** Publishes what is due now. Never rejects: what fails is tried again. */
  async publish(): Promise<void> {
    if (this.#closed) return;
    // One that runs may have looked already.
    if (this.#running !== undefined) await this.#running;
    this.#running ??= this.#publishAll().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopSoon?.();
    for (const stop of this.#stops.splice(0)) stop();
    await this.#running;
  }

  #wakeAfter(ms: number): void {
    this.#stopSoon ??= this.#timers.after(ms, () => {
      this.#stopSoon = undefined;
      this.wake();
    });
  }

  async #publishAll(): Promise<void> {
    const { context } = this.#options;
    const problems: string[] = [];
    for (const issuer of context.generations.all()) {
      if (issuer.kind === 'enrolment') continue;
      try {
        await this.#publishOf(issuer);
      } catch (error) {
        if (error instanceof LeaseLostError) continue;
        const name = `${issuer.kind} CA ${String(issuer.number)}`;
        const why = error instanceof KeyManagerError ? `: ${error.message}` : '';
        problems.push(`no new CRL of the ${name} can be published${why}`);
        context.log.error({ err: error, issuer: toHex(issuer.id) }, 'a CRL could not be published');
      }
    }
    this.#problem = problems.length === 0 ? undefined : problems.join('; ');
  }

  async #publishOf(issuer: Generation): Promise<void> {
    const { context } = this.#options;
    const { store, replicaId } = context;
    if ((await this.#due(issuer)) !== undefined) {
      await withLease(
        { store, name: `crl/${toHex(issuer.id)}`, holder: replicaId, durationMs: leaseMs },
        async (lease) => {
          // Another replica may have been faster; and behind a complete one a delta is due.
          for (let due = await this.#due(issuer); due !== undefined;) {
            await this.#make(lease, issuer, due);
            due = await this.#due(issuer);
          }
        },
      );
    }
    await this.#serve(issuer);
  }

  async #due(issuer: Generation): Promise<CrlDue> {
    const { store, now } = this.#options.context;
    const crls = await readCrls(store.queries, issuer.id);
    const covered = Math.max(crls.delta?.feedSequence ?? 0, crls.complete[0]?.feedSequence ?? 0);
    const hasNews =
      issuer.kind === 'root'
        ? await this.#isOutdatedRoot(issuer, crls)
        : await hasRevocationsAfter(store.queries, issuer.id, covered);
    const { state, certificate } = issuer;
    const subject = { state, notAfter: certificate.notAfter.getTime(), hasNews };
    return crlDue(crls, subject, this.#timing, now().getTime());
  }

  async #isOutdatedRoot(issuer: Generation, crls: IssuerCrls): Promise<boolean> {
    const newest = crls.delta ?? crls.complete[0];
    if (newest === undefined) return true;
    const row = await this.#options.context.store.queries
      .selectFrom('ca_transition')
      .innerJoin('ca_generation', 'ca_generation.id', 'ca_transition.generation')
      .select('ca_transition.at')
      .where('ca_generation.parent', '=', issuer.id)
      .where('ca_transition.to_state', '=', 'tainted')
      .where('ca_transition.at', '>', newest.thisUpdate)
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #make(lease: Lease, issuer: Generation, due: NonNullable<CrlDue>): Promise<void> {
    const { context } = this.#options;
    const { queries } = context.store;
    const crls = await readCrls(queries, issuer.id);
    const head = await feedHead(queries);
    const counter = crlCounter(issuer.id);
    const { value: lastNumber } = (await queries
      .selectFrom('counter')
      .select('value')
      .where('name', '=', counter)
      .executeTakeFirst()) ?? { value: 0 };
    const number = lastNumber + 1;
    // Whole seconds, as it is encoded.
    const thisUpdate = Math.floor(context.now().getTime() / 1000) * 1000;
    const base = due === 'delta' ? (crls.complete[1] ?? crls.complete[0]) : undefined;
    const nextUpdate = this.#end(issuer, due, thisUpdate);
    const entries = await this.#entries(issuer, crls, base, head, thisUpdate);
    const der = await this.#sign(issuer, entries, { number, base, thisUpdate, nextUpdate });
    crashPoint('crl.after_sign');
    await lease.transact(async (transaction) => {
      // Signed with a number that somebody else has taken: not to be let out.
      if ((await transaction.next(counter)) !== number) {
        throw new LeaseLostError(`CRL ${String(number)} was published by another`);
      }
      await transaction.queries
        .insertInto('crl')
        .values({
          issuer: issuer.id,
          number,
          base_number: base?.number ?? null,
          this_update: thisUpdate,
          next_update: nextUpdate,
          feed_seq: head,
          der,
        })
        .execute();
      // The one before the last stays, as deltas add to it; older ones nobody asks for.
      const oldest = crls.complete.at(-1)?.number ?? 0;
      await transaction.queries
        .deleteFrom('crl')
        .where('issuer', '=', issuer.id)
        .where('number', '<', oldest)
        .execute();
      transaction.audit({
        actor: context.replicaId,
        action: 'crl.publish',
        subject: toHex(issuer.id),
        outcome: 'done',
        details: {
          number,
          entries: entries.count,
          feed: head,
          ...(base === undefined ? {} : { base: base.number }),
        },
      });
      crashPoint('crl.before_commit');
    });
  }

  #end(issuer: Generation, due: NonNullable<CrlDue>, thisUpdate: number): number {
    switch (due) {
      case 'last':
        return Math.max(
          issuer.certificate.notAfter.getTime(),
          thisUpdate + this.#timing.completeMs,
        );
      case 'complete':
        return thisUpdate + this.#timing.completeMs;
      case 'delta':
        return thisUpdate + this.#timing.deltaMs;
    }
  }

  async #entries(
    issuer: Generation,
    crls: IssuerCrls,
    base: CrlRecord | undefined,
    head: number,
    thisUpdate: number,
  ): Promise<CrlEntries> {
    const { queries } = this.#options.context.store;
    if (issuer.kind === 'root') return await collectTainted(queries, issuer.id);
    if (base !== undefined) {
      return await collectSince(queries, issuer.id, base.feedSequence, head);
    }
    const [previous] = crls.complete;
    return await collectAll(queries, issuer.id, {
      to: head,
      since: previous?.thisUpdate ?? thisUpdate,
      sinceFeed: previous?.feedSequence ?? 0,
    });
  }

  async #sign(
    issuer: Generation,
    entries: CrlEntries,
    fields: {
      readonly number: number;
      readonly base: CrlRecord | undefined;
      readonly thisUpdate: number;
      readonly nextUpdate: number;
    },
  ): Promise<Uint8Array> {
    const { context, publicUrl } = this.#options;
    const { base } = fields;
    const key = await context.generations.keyOf(issuer);
    const scheme = defaultScheme(key.type);
    const toBeSigned = encodeCrlToBeSigned(
      {
        crlNumber: BigInt(fields.number),
        thisUpdate: new Date(fields.thisUpdate),
        nextUpdate: new Date(fields.nextUpdate),
        revoked: entries,
        ...(base === undefined ? {} : { baseCrlNumber: BigInt(base.number) }),
        ...(base === undefined && publicUrl !== undefined
          ? { freshestCrlUrl: distributionAt(publicUrl, issuer).freshestCrlUrl }
          : {}),
      },
      issuer.certificate,
      scheme,
    );
    const [signature] = await key.signAll([toBeSigned]);
    if (signature === undefined) throw new KeyManagerError('a signature is missing');
    return joinSignature(toBeSigned, scheme, signature);
  }

  /** Brings to memory what is newest, whoever made it. */
  async #serve(issuer: Generation): Promise<void> {
    const { queries } = this.#options.context.store;
    const { complete, delta } = await readCrls(queries, issuer.id);
    const key = toHex(issuer.id);
    const known = this.#published.get(key) ?? {};
    this.#published.set(key, known);
    const fresh = async (
      record: CrlRecord | undefined,
      before: PublishedCrl | undefined,
    ): Promise<PublishedCrl | undefined> => {
      if (record === undefined || record.number === before?.number) return before;
      const der = await readCrlDer(queries, issuer.id, record.number);
      return der === undefined ? before : { ...record, der };
    };
    const [newComplete, newDelta] = [
      await fresh(complete[0], known.complete),
      await fresh(delta, known.delta),
    ];
    if (newComplete !== undefined) known.complete = newComplete;
    if (newDelta !== undefined) known.delta = newDelta;
  }
}

const lookEveryMs = 30_000;
/** A list of a million entries is made in some seconds. */
const leaseMs = 60_000;
