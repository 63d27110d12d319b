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
  source: { burst: 256, perSecond: 100, maxSources: 20_000 },
};

/** What goes first when there is too much. */
export type AdmissionClass = 'renew' | 'enroll';

/** A refusal without a look at the request, to be told late: at once it would cost more than to ask again. */
export class Postponed extends ServiceError {
  /** When to say so, from now. */
  readonly holdMs: number;

  constructor(
    message: string,
    details: { readonly holdMs: number; readonly retryAfterMs: number },
  ) {
    super('RESOURCE_EXHAUSTED', 'busy', message, details);
    this.holdMs = details.holdMs;
  }
}

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

  /** Throws {@link Postponed}, with a time to come again. */
  admit(kind: AdmissionClass, source: string): Admitted {
    const holdMs = this.#sources.waitMs(source);
    if (holdMs > 0) {
      throw new Postponed('too many requests failed that came from there', {
        holdMs,
        retryAfterMs: this.#slots.take(),
      });
    }
    const { inFlight } = this.#limits;
    const isFull =
      this.inFlight >= inFlight ||
      (kind === 'enroll' && this.#inFlight.enroll >= Math.ceil((inFlight * 2) / 3));
    if (isFull) {
      throw new Postponed('the authority has more to do than it can', {
        holdMs: 0,
        retryAfterMs: this.#slots.take(),
      });
    }
    this.#inFlight[kind] += 1;
    let ended = false;
    return {
      end: (good) => {
        if (ended) return;
        ended = true;
        this.#inFlight[kind] -= 1;
        if (good) this.#slots.served();
        else this.#sources.failed(source);
      },
    };
  }

  /** ms after which one of many is to come again. */
  retryAfterMs(): number {
    return this.#slots.take();
  }
}

/** Before anything was measured. */
const START_PER_SECOND = 500;
