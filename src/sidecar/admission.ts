import { ServiceError } from '../rpc/errors.ts';

/** The right to run one handshake. */
export interface Slot {
  /** Gives the slot to the next in line; more than once is harmless. */
  release(): void;
}

/** A place in the queue. */
export interface Waiting {
  /** Leaves the queue; `granted` is not called any more. */
  cancel(): void;
}

export interface AdmissionOptions {
  readonly slots: number;
  readonly queue: number;
  readonly queueTimeoutMs: number;
  /** Share of the slots one caller may hold while others wait, 0 to 1. */
  readonly callerShare: number;
  /** Calls back once after a delay, unless cancelled. */
  readonly schedule: (delayMs: number, run: () => void) => () => void;
}

/**
 * Lets a bounded number of handshakes run and a bounded number wait, first come first served.
 * Client and server handshakes each have their own: an application that is both would otherwise
 * wait for itself.
 *
 * Two rules keep one caller from starving the rest: while others wait, who holds his share of the
 * slots is passed over; and when the queue is full, the latest of the caller with the longest line
 * makes room for one with a shorter line.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #held = new Map<string, number>();
  readonly #waiting: Waiter[] = [];
  #inFlight = 0;
  #granting = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /**
   * Calls `granted` with a slot, at once if one is free, or `refused` if there is none within the
   * time allowed. Returns what is needed to stop waiting, or `undefined` if the answer was given.
   */
  acquire(
    caller: string,
    granted: (slot: Slot) => void,
    refused: (error: ServiceError) => void,
  ): Waiting | undefined {
    if (this.#inFlight < this.#options.slots && this.#waiting.length === 0) {
      granted(this.#take(caller));
      return undefined;
    }
    if (this.#waiting.length >= this.#options.queue && !this.#makeRoomFor(caller)) {
      refused(overloaded(this.#options.queueTimeoutMs));
      return undefined;
    }
    const waiter: Waiter = {
      caller,
      granted,
      refused,
      cancelTimer: this.#options.schedule(this.#options.queueTimeoutMs, () => {
        this.#remove(waiter);
        refused(overloaded(this.#options.queueTimeoutMs));
      }),
    };
    this.#waiting.push(waiter);
    return {
      cancel: () => {
        waiter.cancelTimer();
        this.#remove(waiter);
      },
    };
  }

  #take(caller: string): Slot {
    this.#inFlight += 1;
    this.#held.set(caller, this.#heldBy(caller) + 1);
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        this.#inFlight -= 1;
        const left = this.#heldBy(caller) - 1;
        if (left === 0) this.#held.delete(caller);
        else this.#held.set(caller, left);
        this.#grantNext();
      },
    };
  }

  /** Whoever is granted a slot may release it before he returns: then the loop below goes on. */
  #grantNext(): void {
    if (this.#granting) return;
    this.#granting = true;
    try {
      while (this.#inFlight < this.#options.slots) {
        const next = this.#nextInLine();
        if (next === undefined) return;
        next.cancelTimer();
        this.#remove(next);
        next.granted(this.#take(next.caller));
      }
    } finally {
      this.#granting = false;
    }
  }

  #nextInLine(): Waiter | undefined {
    const share = Math.max(1, Math.floor(this.#options.slots * this.#options.callerShare));
    return this.#waiting.find(({ caller }) => this.#heldBy(caller) < share) ?? this.#waiting[0];
  }

  #makeRoomFor(caller: string): boolean {
    const lines = new Map<string, number>();
    for (const waiter of this.#waiting) {
      lines.set(waiter.caller, (lines.get(waiter.caller) ?? 0) + 1);
    }
    const [longest, length] = [...lines].reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0]);
    if (length <= (lines.get(caller) ?? 0) + 1) return false;
    const last = this.#waiting.findLast((waiter) => waiter.caller === longest);
    if (last === undefined) return false;
    last.cancelTimer();
    this.#remove(last);
    last.refused(overloaded(this.#options.queueTimeoutMs));
    return true;
  }

  #heldBy(caller: string): number {
    return this.#held.get(caller) ?? 0;
  }

  #remove(waiter: Waiter): void {
    const index = this.#waiting.indexOf(waiter);
    if (index !== -1) this.#waiting.splice(index, 1);
  }
}

interface Waiter {
  readonly caller: string;
  readonly granted: (slot: Slot) => void;
  readonly refused: (error: ServiceError) => void;
  readonly cancelTimer: () => void;
}

function overloaded(retryAfterMs: number): ServiceError {
  return new ServiceError(
    'RESOURCE_EXHAUSTED',
    'overloaded',
    'the sidecar has too many handshakes in progress',
    { retryAfterMs },
  );
}
