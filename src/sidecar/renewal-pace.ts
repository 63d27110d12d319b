import { ServiceError } from '../rpc/errors.ts';
import type { CredentialSource } from './credential-source.ts';

/**
 * Renewals that are asked for: each identity has one at a time, whoever asks meanwhile shares it, and the
 * next has to wait a while, as every one is work for the authority and a row in its store.
 */
export class RenewalPace {
  readonly #now: () => Date;
  readonly #running = new Map<string, Promise<Date>>();
  readonly #notBefore = new Map<string, number>();

  constructor(now: () => Date) {
    this.#now = now;
  }

  /** Answers until when the new certificate is good. Rejects with `ServiceError`. */
  async renew(name: string, source: CredentialSource): Promise<Date> {
    const running = this.#running.get(name);
    if (running !== undefined) return await running;
    const waitMs = (this.#notBefore.get(name) ?? 0) - this.#now().getTime();
    // A clock that was set back must not forbid it for long.
    if (waitMs > 0 && waitMs <= afterSuccessMs) {
      throw new ServiceError(
        'RESOURCE_EXHAUSTED',
        'renewal_too_soon',
        `"${name}" was renewed, or that was tried, just now`,
        { retryAfterMs: waitMs },
      );
    }
    const renewal = this.#renew(name, source).finally(() => this.#running.delete(name));
    this.#running.set(name, renewal);
    return await renewal;
  }

  async #renew(name: string, source: CredentialSource): Promise<Date> {
    let pauseMs = afterFailureMs;
    try {
      const notAfter = await source.renew();
      pauseMs = afterSuccessMs;
      return notAfter;
    } finally {
      this.#notBefore.set(name, this.#now().getTime() + pauseMs);
    }
  }
}

const afterSuccessMs = 60_000;
const afterFailureMs = 5000;
