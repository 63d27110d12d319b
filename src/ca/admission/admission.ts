import { ServiceError } from '../../rpc/errors.ts';
import { RetrySlots } from './retry-slots.ts';
import { SourceBuckets, type SourceLimits } from './source-buckets.ts';

export interface AdmissionLimits {
  /** Requests at work; a third of them is kept for renewals. */
  readonly inFlight: number;
  readonly source: SourceLimits;
}

export const defaultAdmissionLimits: AdmissionLimits = {
  inFlight: 1536,
  source: { burst: 2048, perSecond: 100, maxSources: 20_000 },
};

/** What goes first when there is too much. */
export type AdmissionClass = 'renew' | 'enroll';

/** Refused for what came from there before: nothing is known against this request itself. */
export class SourceExhausted extends ServiceError {}

/** Leave to work on a request; ended once. */
export interface Admitted {
  /** `good`: it was in order, and costs its source nothing. */
  end(good: boolean): void;
}

/** Decides who is served at all, before anything is computed for a request. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #sources: SourceBuckets;
  readonly #slots: RetrySlots;
  readonly #inFlight: Record<AdmissionClass, number> = { renew: 0, enroll: 0 };

  constructor(limits: AdmissionLimits, now: () => Date) {
    this.#limits = limits;
    this.#sources = new SourceBuckets(limits.source, now);
    this.#slots = new RetrySlots(now, START_PER_SECOND);
  }

  /** Requests at work. */
  get inFlight(): number {
    return this.#inFlight.renew + this.#inFlight.enroll;
  }

  /** Throws `ServiceError` (`RESOURCE_EXHAUSTED`) with a time to come again. */
  admit(kind: AdmissionClass, source: string): Admitted {
    if (!this.#sources.take(source)) {
      const message = 'too many requests failed that came from there';
      throw this.#busy(message, SourceExhausted);
    }
    const { inFlight } = this.#limits;
    const isFull =
      this.inFlight >= inFlight ||
      (kind === 'enroll' && this.#inFlight.enroll >= Math.ceil((inFlight * 2) / 3));
    if (isFull) {
      this.#sources.refund(source);
      throw this.#busy('the authority has more to do than it can');
    }
    this.#inFlight[kind] += 1;
    let ended = false;
    return {
      end: (good) => {
        if (ended) return;
        ended = true;
        this.#inFlight[kind] -= 1;
        if (!good) return;
        this.#sources.refund(source);
        this.#slots.served();
      },
    };
  }

  /** ms after which one of many is to come again. */
  retryAfterMs(): number {
    return this.#slots.take();
  }

  #busy(message: string, kind: typeof ServiceError = ServiceError): ServiceError {
    return new kind('RESOURCE_EXHAUSTED', 'busy', message, {
      retryAfterMs: this.#slots.take(),
    });
  }
}

/** Before anything was measured. */
const START_PER_SECOND = 500;
