import type { HostCredential } from './enrolled-identity.ts';
import { parseCertificate } from '../pki/index.ts';
import type { Timers } from './timers.ts';

/**
 * The key for decryption that the last renewal replaced: what was encrypted for it may be on its way. It
 * is in memory only, and let go of after some minutes, or when its certificate ends.
 */
export class RetiredKey {
  readonly #timers: Timers;
  readonly #now: () => Date;
  #kept: { readonly credential: HostCredential; readonly until: number } | undefined;
  #stopTimer: (() => void) | undefined;

  constructor(timers: Timers, now: () => Date) {
    this.#timers = timers;
    this.#now = now;
  }

  /** Absent: there is none, or its time is over. */
  get credential(): HostCredential | undefined {
    // Timers stand still while a machine sleeps.
    if (this.#kept !== undefined && this.#now().getTime() >= this.#kept.until) this.forget();
    return this.#kept?.credential;
  }

  /** Takes the place of the one before. */
  keep(credential: HostCredential): void {
    this.forget();
    const [leaf] = credential.chain;
    if (leaf === undefined) return;
    const now = this.#now().getTime();
    const until = Math.min(now + graceMs, parseCertificate(leaf).notAfter.getTime());
    if (until <= now) return;
    this.#kept = { credential, until };
    this.#stopTimer = this.#timers.after(until - now, () => {
      this.forget();
    });
  }

  forget(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    this.#kept = undefined;
  }
}

/** A configuration is sealed, sent and opened within seconds; a manager that queues seals again when refused. */
const graceMs = 5 * 60_000;
