import type { Logger } from 'pino';
import type { FollowTrustResponse } from '../gen/sidekey/v1/certificate_authority.ts';
import { type AuthorityFailure, failureOf } from './authority-failure.ts';
import { FollowSession, type FollowSessionOptions } from './follow-session.ts';
import { backoffMs } from './renewal-schedule.ts';

export interface TrustFollowerOptions extends Omit<FollowSessionOptions, 'onBundleRefused'> {
  /** 0 to 1. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Keeps one FollowTrust stream open, and opens it again whenever it ends. */
export class TrustFollower {
  readonly #options: TrustFollowerOptions;
  #session: FollowSession | undefined;
  #sessionEnd: Promise<void> = Promise.resolve();
  #stopTimer: (() => void) | undefined;
  #running = false;
  #failures = 0;
  #openedAt = 0;
  #problem: AuthorityFailure | undefined;
  #bundleProblem: string | undefined;

  constructor(options: TrustFollowerOptions) {
    this.#options = options;
  }

  /** Why the last stream ended, unless there was one since from which something came. */
  get problem(): AuthorityFailure | undefined {
    return this.#problem;
  }

  /** Why the newest trust bundle is not followed. */
  get bundleProblem(): string | undefined {
    return this.#bundleProblem;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#open();
  }

  /** Opens a new stream at once, such as with a new certificate. */
  restart(): void {
    this.#endSession();
    this.#failures = 0;
    this.#running = true;
    this.#open();
  }

  /** Resolves when nothing of the stream is being written any more. */
  async stop(): Promise<void> {
    this.#running = false;
    this.#endSession();
    await this.#sessionEnd;
  }

  #endSession(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    const session = this.#session;
    this.#session = undefined;
    session?.fail(new Error('the stream is no longer wanted'));
  }

  #open(): void {
    const { onArrived, log } = this.#options;
    const session = new FollowSession({
      ...this.#options,
      onArrived: (message: FollowTrustResponse) => {
        this.#problem = undefined;
        if (message.trustBundle !== undefined) this.#bundleProblem = undefined;
        onArrived(message);
      },
      onBundleRefused: (error) => {
        this.#bundleProblem = error.message;
        log.error({ err: error }, 'a trust bundle is not followed');
      },
    });
    this.#session = session;
    this.#openedAt = this.#options.now().getTime();
    this.#sessionEnd = session.run().then(
      () => {
        this.#ended(session, undefined);
      },
      (error: unknown) => {
        this.#ended(session, error);
      },
    );
  }

  #ended(session: FollowSession, error: unknown): void {
    if (session !== this.#session) return;
    this.#session = undefined;
    const { log, now, random, timers } = this.#options;
    const failure = error === undefined ? undefined : failureOf(error);
    const wasSteady = session.messages > 0 && now().getTime() - this.#openedAt >= steadyMs;
    this.#failures = wasSteady ? 1 : this.#failures + 1;
    this.#problem = failure;
    const delayMs = backoffMs(
      {
        count: this.#failures,
        retryAfterMs: failure?.retryAfterMs,
        refused: failure?.refused ?? false,
      },
      random(),
      failure?.refused === true ? refusedLimitMs : limitMs,
    );
    log.warn(
      { problem: failure?.message, reason: failure?.reason, retryMs: Math.round(delayMs) },
      'not following the authority',
    );
    this.#stopTimer = timers.after(delayMs, () => {
      this.#stopTimer = undefined;
      this.#open();
    });
  }
}

/** An authority that ends streams soon after they began is in trouble: not to be asked every second. */
const steadyMs = 60_000;
const limitMs = 60_000;
/** Revoked or suspended: somebody may change that. */
const refusedLimitMs = 300_000;
