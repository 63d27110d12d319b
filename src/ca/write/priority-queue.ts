import type { ServiceError } from '../../rpc/errors.ts';
import type { Operation } from './operation.ts';

/** One item that waits, and who waits for it. */
export interface Waiting {
  readonly operation: Operation<unknown, unknown>;
  readonly item: unknown;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: ServiceError) => void;
}

/** First come, first served, within each priority. */
export class PriorityQueue {
  readonly #lanes = { renew: new Lane(), enroll: new Lane(), other: new Lane() };

  get length(): number {
    const { renew, enroll, other } = this.#lanes;
    return renew.length + enroll.length + other.length;
  }

  push(waiting: Waiting): void {
    this.#lanes[waiting.operation.priority].push(waiting);
  }

  /**
   * The next batch. Of a full one, a few places go to those that would otherwise wait for as long as
   * more urgent ones keep coming.
   */
  take(count: number): readonly Waiting[] {
    const { renew, enroll, other } = this.#lanes;
    const spared = Math.floor(count / 16);
    const least = Math.min(other.length, spared) + Math.min(enroll.length, spared);
    const batch = renew.take(count - least);
    batch.push(...enroll.take(count - batch.length - Math.min(other.length, spared)));
    batch.push(...other.take(count - batch.length));
    return batch;
  }
}

/** A queue that does not move its items at every step. */
class Lane {
  #items: Waiting[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(waiting: Waiting): void {
    this.#items.push(waiting);
  }

  take(count: number): Waiting[] {
    const taken = this.#items.slice(this.#head, this.#head + Math.max(count, 0));
    this.#head += taken.length;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }
}
