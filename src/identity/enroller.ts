import type { Logger } from 'pino';
import { equal } from '../bytes/bytes.ts';
import { ServiceError } from '../rpc/errors.ts';
import { type AuthorityFailure, failureOf } from './authority-failure.ts';
import { type CurrentSlot, tokenDigest } from './current-slot.ts';
import { BundleError, type EnrolmentBundle, parseEnrolmentBundle } from './enrolment-bundle.ts';
import { enrollOnce, type EnrolmentOptions } from './enrolment.ts';
import type { PendingSlot } from './pending-slot.ts';
import { backoffMs } from './renewal-schedule.ts';
import { Alarm, type Timers } from './timers.ts';

export interface EnrollerOptions extends EnrolmentOptions {
  readonly timers: Timers;
  readonly log: Logger;
  /** Runs one thing after the other: enrolling and renewing must not cross. */
  readonly exclusive: <T>(task: () => Promise<T>) => Promise<T>;
  /** Whether what we have is of no more use, so that another bundle may replace it. */
  readonly isLost: (current: CurrentSlot) => boolean;
  /** Called when there are certificates. */
  readonly onEnrolled: () => void;
  /** Called when a problem has changed. */
  readonly onChanged: () => void;
}

/** What enrolling came to. */
export interface Enrolment {
  readonly spiffeId: string;
  readonly notAfter: Date;
  /** It had enrolled before, with the same bundle. */
  readonly alreadyEnrolled: boolean;
}

/** Enrols a host: at once with a bundle, or later with what a bundle left on disk. */
export class Enroller {
  readonly #options: EnrollerOptions;
  readonly #alarm: Alarm;
  #isEnrolling = false;
  #failures = 0;
  #problem: string | undefined;
  #stopped: Error | undefined;
  #stopPause: (() => void) | undefined;

  constructor(options: EnrollerOptions) {
    this.#options = options;
    this.#alarm = new Alarm(options.now, options.timers);
  }

  /** Whether an enrolment was begun and is neither done nor refused. */
  get isEnrolling(): boolean {
    return this.#isEnrolling;
  }

  /** What went wrong last. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** See `EnrolledIdentity.enroll`. */
  async enroll(file: Uint8Array): Promise<Enrolment> {
    const bundle = readBundle(file);
    return await this.#options.exclusive(async () => {
      if (this.#stopped !== undefined) throw this.#stopped;
      const known = this.#knownEnrolment(bundle);
      if (known !== undefined) return known;
      this.#checkEnd(bundle);
      const pending = await this.#prepare(bundle, file);
      this.#alarm.clear();
      this.#begin();
      return await this.#enrollPatiently(bundle, pending);
    });
  }

  /** Goes on with what was begun before the process ended, until it is done or refused. */
  resume(): void {
    const { store, onChanged } = this.#options;
    if (store.pending?.purpose.tag !== 'enrolment') return;
    this.#begin();
    this.#tryLater(0);
    onChanged();
  }

  /** What was begun is void. */
  reset(): void {
    this.#alarm.clear();
    this.#isEnrolling = false;
    this.#failures = 0;
    this.#problem = undefined;
  }

  stop(): void {
    this.#stopped = new ServiceError('UNAVAILABLE', 'closed', 'this identity was closed');
    this.#alarm.clear();
    this.#stopPause?.();
  }

  #begin(): void {
    this.#isEnrolling = true;
    this.#failures = 0;
    this.#problem = undefined;
  }

  #knownEnrolment(bundle: EnrolmentBundle): Enrolment | undefined {
    const { store, isLost } = this.#options;
    const { current } = store;
    if (current === undefined) return undefined;
    const { spiffeId, leaf } = current;
    const isSame = equal(current.enrolledWith, tokenDigest(bundle.token));
    if (isSame) return { spiffeId, notAfter: leaf.notAfter, alreadyEnrolled: true };
    if (isLost(current)) return undefined;
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'already_enrolled',
      `this identity is enrolled as ${spiffeId} with another bundle; to enrol anew, forget that first`,
    );
  }

  /** A token that may have been used already, its answer lost, is worth a try whatever our clock says. */
  #checkEnd(bundle: EnrolmentBundle): void {
    const { store, now } = this.#options;
    if (store.pending?.token === bundle.token) return;
    if (now().getTime() < bundle.notAfter.getTime()) return;
    throw new ServiceError(
      'FAILED_PRECONDITION',
      'bundle_expired',
      `the bundle ended at ${bundle.notAfter.toISOString()}, and the clock of this host says ${now().toISOString()}: get a new bundle, or set the clock`,
    );
  }

  async #prepare(bundle: EnrolmentBundle, file: Uint8Array): Promise<PendingSlot> {
    try {
      const purpose = { tag: 'enrolment', bundle: Uint8Array.from(file) } as const;
      return await this.#options.store.prepare(purpose, bundle.token);
    } catch (error) {
      throw new ServiceError('UNAVAILABLE', 'state_not_writable', failureOf(error).message);
    }
  }

  async #enrollPatiently(bundle: EnrolmentBundle, pending: PendingSlot): Promise<Enrolment> {
    const { now, random } = this.#options;
    const giveUpAt = now().getTime() + patienceMs;
    for (;;) {
      const failure = await this.#attempt(bundle, pending);
      const { current } = this.#options.store;
      if (failure === undefined && current !== undefined) {
        const { spiffeId, leaf } = current;
        return { spiffeId, notAfter: leaf.notAfter, alreadyEnrolled: false };
      }
      if (failure?.refused === true) throw refusal(failure);
      const delayMs = backoffMs(this.#facts(failure), random(), patientLimitMs);
      if (now().getTime() + delayMs > giveUpAt) {
        this.#tryLater(delayMs);
        throw new ServiceError(
          'UNAVAILABLE',
          failure?.reason ?? 'unavailable',
          `not enrolled yet, trying goes on: ${failure?.message ?? 'no answer'}`,
          { retryAfterMs: Math.ceil(delayMs) },
        );
      }
      await this.#pause(delayMs);
      if (this.#stopped !== undefined) throw this.#stopped;
    }
  }

  /** Answers why it failed. */
  async #attempt(
    bundle: EnrolmentBundle,
    pending: PendingSlot,
  ): Promise<AuthorityFailure | undefined> {
    const { log, store, onEnrolled, onChanged } = this.#options;
    try {
      await enrollOnce(this.#options, bundle, pending);
    } catch (error) {
      const failure = failureOf(error);
      this.#failures += 1;
      this.#problem = failure.message;
      if (failure.refused) this.#isEnrolling = false;
      log.warn({ err: error, reason: failure.reason }, 'not enrolled');
      onChanged();
      return failure;
    }
    this.#isEnrolling = false;
    this.#problem = undefined;
    log.info({ spiffeId: store.current?.spiffeId }, 'enrolled');
    onEnrolled();
    return undefined;
  }

  #tryLater(delayMs: number): void {
    if (this.#stopped !== undefined) return;
    const { now, exclusive } = this.#options;
    this.#alarm.set(new Date(now().getTime() + delayMs), () => {
      void exclusive(() => this.#tryAgain());
    });
  }

  /** Never rejects. */
  async #tryAgain(): Promise<void> {
    const { store, random } = this.#options;
    const { pending } = store;
    if (this.#stopped !== undefined || pending?.purpose.tag !== 'enrolment') return;
    let bundle: EnrolmentBundle;
    try {
      bundle = parseEnrolmentBundle(pending.purpose.bundle);
    } catch (error) {
      this.#isEnrolling = false;
      this.#problem = failureOf(error).message;
      return;
    }
    const failure = await this.#attempt(bundle, pending);
    if (failure === undefined || failure.refused) return;
    this.#tryLater(backoffMs(this.#facts(failure), random(), limitMs));
  }

  #facts(failure: AuthorityFailure | undefined) {
    const { retryAfterMs, refused = false } = failure ?? { retryAfterMs: undefined };
    return { count: this.#failures, retryAfterMs, refused };
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#options.timers.after(ms, resolve);
      this.#stopPause = () => {
        stop();
        resolve();
      };
    });
  }
}

function readBundle(file: Uint8Array): EnrolmentBundle {
  try {
    return parseEnrolmentBundle(file);
  } catch (error) {
    if (!(error instanceof BundleError)) throw error;
    throw new ServiceError('INVALID_ARGUMENT', error.reason, `the bundle ${error.message}`);
  }
}

function refusal({ reason, message }: AuthorityFailure): ServiceError {
  const hint = 'the token may have been used, revoked, or have ended: get a new bundle';
  return new ServiceError('PERMISSION_DENIED', reason, `${message} (${hint})`);
}

/** Whoever waits for the command wants to know soon. */
const patienceMs = 10_000;
const patientLimitMs = 4000;
const limitMs = 300_000;
