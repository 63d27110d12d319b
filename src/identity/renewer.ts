import type { Logger } from 'pino';
import { ServiceError } from '../rpc/errors.ts';
import { type AuthorityFailure, failureOf } from './authority-failure.ts';
import type { CurrentSlot } from './current-slot.ts';
import { confirm, renew, type RenewalOptions } from './renewal.ts';
import { hardMoment, renewalMoment, retryMoment } from './renewal-schedule.ts';
import { Alarm, type Timers } from './timers.ts';

export interface RenewerOptions extends RenewalOptions {
  readonly timers: Timers;
  readonly log: Logger;
  /** Runs one thing after the other: enrolling and renewing must not cross. */
  readonly exclusive: (task: () => Promise<void>) => Promise<void>;
  /** Called when there are new certificates, with what they replaced. */
  readonly onRenewed: (before: CurrentSlot) => void;
  /** Called when a plan or a problem has changed. */
  readonly onChanged: () => void;
}

/** Renews the certificates of a host in time, again and again, without anybody's hand. */
export class Renewer {
  readonly #options: RenewerOptions;
  readonly #alarm: Alarm;
  #running = false;
  #busy = false;
  #immediate: Promise<void> | undefined;
  #orderedAt: Date | undefined;
  #failures = 0;
  #failure: AuthorityFailure | undefined;
  #retryAt: Date | undefined;
  #renewals = 0;
  #failedRenewals = 0;

  constructor(options: RenewerOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.now, options.timers);
  }

  get renewals(): number {
    return this.#renewals;
  }

  get failedRenewals(): number {
    return this.#failedRenewals;
  }

  /** When the next attempt is made; absent: there is nothing to renew. */
  get nextAt(): Date | undefined {
    const { current } = this.#options.store;
    return current && this.#nextAttempt(current);
  }

  /** What went wrong last, if it is time to worry: it was refused, or little time is left. */
  get problem(): string | undefined {
    const { store, now } = this.#options;
    if (this.#failure === undefined || store.current === undefined) return undefined;
    const isLate = now().getTime() >= hardMoment(lifeOf(store.current)).getTime();
    if (!isLate && !this.#failure.refused) return undefined;
    return `cannot be renewed: ${this.#failure.message}`;
  }

  start(): void {
    this.#running = true;
    this.#plan();
  }

  stop(): void {
    this.#running = false;
    this.#alarm.clear();
  }

  /** There are certificates from elsewhere: what was planned and what failed is void. */
  reset(): void {
    this.#succeeded();
    this.#orderedAt = undefined;
    this.#plan();
  }

  /** Something was in the way and is not any more: a failed attempt is made again at once. */
  retry(): void {
    if (this.#retryAt === undefined) return;
    this.#retryAt = this.#options.now();
    this.#plan();
  }

  /** The authority wants it then, at the latest. */
  order(at: Date): void {
    if (this.#orderedAt?.getTime() === at.getTime()) return;
    this.#orderedAt = at;
    this.#plan();
    this.#options.onChanged();
  }

  #plan(): void {
    const { current } = this.#options.store;
    if (!this.#running || this.#busy || current === undefined) return;
    this.#alarm.set(this.#nextAttempt(current), () => {
      this.#busy = true;
      void this.#attempt().finally(() => {
        this.#busy = false;
        this.#plan();
      });
    });
  }

  #nextAttempt(current: CurrentSlot): Date {
    if (this.#retryAt !== undefined) return this.#retryAt;
    if (!current.confirmed) return this.#options.now();
    const planned = renewalMoment(lifeOf(current));
    const ordered = this.#orderedAt;
    return ordered !== undefined && ordered.getTime() < planned.getTime() ? ordered : planned;
  }

  /**
   * Renews at once; whoever asks while one renewal is under way gets its result. Rejects with why it did
   * not come about; it is tried again then, as any other.
   */
  renewNow(): Promise<void> {
    this.#immediate ??= this.#renewNow().finally(() => {
      this.#immediate = undefined;
    });
    return this.#immediate;
  }

  async #renewNow(): Promise<void> {
    const { store, now, exclusive } = this.#options;
    this.#alarm.clear();
    this.#busy = true;
    const before = this.#renewals;
    try {
      // An attempt that is under way may be for these very certificates.
      await exclusive(() => Promise.resolve());
      if (this.#renewals === before && this.#running && store.current !== undefined) {
        this.#orderedAt = now();
        await this.#attempt();
      }
    } finally {
      this.#busy = false;
      this.#plan();
    }
    if (this.#renewals !== before) return;
    throw renewalRefusal(this.#failure);
  }

  /** Never rejects. */
  async #attempt(): Promise<void> {
    try {
      await this.#options.exclusive(() => this.#step());
      this.#retryAt = undefined;
    } catch (error) {
      this.#failed(error);
    }
    this.#options.onChanged();
  }

  async #step(): Promise<void> {
    const { store, log, now, onRenewed } = this.#options;
    const before = store.current;
    if (before === undefined || !this.#running) return;
    if (this.#isDue(before, now())) {
      await renew(this.#options, before);
      this.#succeeded();
      this.#orderedAt = undefined;
      this.#renewals += 1;
      const { current } = store;
      const facts = { generation: current?.generation, notAfter: current?.leaf.notAfter };
      log.info(facts, 'certificates renewed');
      onRenewed(before);
    }
    const { current } = store;
    if (current?.confirmed === false) {
      await confirm(this.#options, current);
      this.#succeeded();
    }
  }

  /** An unconfirmed certificate that is due as well is renewed: the next one is confirmed instead. */
  #isDue(current: CurrentSlot, now: Date): boolean {
    const planned = renewalMoment(lifeOf(current)).getTime();
    const due = Math.min(planned, this.#orderedAt?.getTime() ?? Infinity);
    return now.getTime() >= due;
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#failure = undefined;
    this.#retryAt = undefined;
  }

  #failed(error: unknown): void {
    const { store, now, random, log } = this.#options;
    const failure = failureOf(error);
    this.#failures += 1;
    this.#failedRenewals += 1;
    this.#failure = failure;
    const { current } = store;
    if (current === undefined) return;
    this.#retryAt = retryMoment(
      lifeOf(current),
      { count: this.#failures, retryAfterMs: failure.retryAfterMs, refused: failure.refused },
      now(),
      random(),
    );
    const facts = { err: error, reason: failure.reason, retryAt: this.#retryAt };
    if (failure.refused) log.error(facts, 'certificates cannot be renewed');
    else log.warn(facts, 'certificates not renewed yet');
  }
}

function renewalRefusal(failure: AuthorityFailure | undefined): ServiceError {
  if (failure === undefined) {
    return new ServiceError('FAILED_PRECONDITION', 'not_enrolled', 'there is nothing to renew');
  }
  const { refused, reason, message, retryAfterMs } = failure;
  return new ServiceError(
    refused ? 'FAILED_PRECONDITION' : 'UNAVAILABLE',
    reason,
    `not renewed: ${message}`,
    ...(retryAfterMs === undefined ? [] : [{ retryAfterMs }]),
  );
}

function lifeOf({ issuedAt, leaf, renewalDraw }: CurrentSlot) {
  return { issuedAt, notAfter: leaf.notAfter, draw: renewalDraw };
}
