import { equal, toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AgentState } from '../store/schema.ts';
import type { FeedItem } from './feed.ts';
import type { Follower } from './follower.ts';
import type { FeedBatch } from './trust-feed.ts';

/** The hosts that follow now: one stream for each certificate. */
export class Followers {
  readonly #bySerial = new Map<string, Follower>();
  readonly #byAgent = new Map<string, Set<Follower>>();
  #waking = false;
  #wakeAgain = false;

  get size(): number {
    return this.#bySerial.size;
  }

  [Symbol.iterator](): Iterator<Follower> {
    return this.#bySerial.values();
  }

  /** A stream with the same certificate ends: its host has given it up, or knows it no more. */
  add(follower: Follower): void {
    const { serial, agent } = follower.host;
    const before = this.#bySerial.get(toHex(serial));
    if (before !== undefined) {
      this.remove(before);
      before.end(new ServiceError('ABORTED', 'stream_replaced', 'the host has opened another'));
    }
    this.#bySerial.set(toHex(serial), follower);
    const others = this.#byAgent.get(toHex(agent));
    if (others === undefined) this.#byAgent.set(toHex(agent), new Set([follower]));
    else others.add(follower);
  }

  remove(follower: Follower): void {
    const { serial, agent } = follower.host;
    if (this.#bySerial.get(toHex(serial)) === follower) this.#bySerial.delete(toHex(serial));
    const others = this.#byAgent.get(toHex(agent));
    others?.delete(follower);
    if (others?.size === 0) this.#byAgent.delete(toHex(agent));
  }

  /** Passes on what concerns single ones at once, then lets all send. */
  take(batch: FeedBatch): void {
    for (const item of batch.items) {
      if (item.type === 'certificate_revoked') {
        const follower = this.#bySerial.get(toHex(item.subject));
        if (follower !== undefined) tellOwnNews(follower, item);
      } else if (item.type === 'agent_revoked' || item.type === 'agent_state') {
        for (const follower of this.#byAgent.get(toHex(item.subject)) ?? []) {
          tellOwnNews(follower, item);
        }
      }
    }
    this.wakeAll();
  }

  /**
   * Lets all send, soon. What comes while it goes round is sent by the same round, or by one more.
   */
  wakeAll(): void {
    if (this.#waking) {
      this.#wakeAgain = true;
      return;
    }
    this.#waking = true;
    this.eachInTurn(
      (follower) => {
        follower.wake();
      },
      () => {
        this.#waking = false;
        if (!this.#wakeAgain) return;
        this.#wakeAgain = false;
        this.wakeAll();
      },
    );
  }

  /**
   * Does something with every follower, some hundred at a time: to write to ten thousand takes some
   * tenths of a second, during which nobody could renew.
   */
  eachInTurn(action: (follower: Follower) => void, done: () => void = () => undefined): void {
    const all = this.#bySerial.values();
    const some = (): void => {
      for (let count = 0; count < followersAtATime; count += 1) {
        const next = all.next();
        if (next.done === true) {
          done();
          return;
        }
        action(next.value);
      }
      setImmediate(some);
    };
    some();
  }
}

/** Tells a follower of an entry that is about itself; passes over any other. */
export function tellOwnNews(follower: Follower, { type, subject, payload }: FeedItem): void {
  const { agent, serial } = follower.host;
  if (type === 'certificate_revoked' && equal(subject, serial)) {
    follower.end(
      new ServiceError('PERMISSION_DENIED', 'certificate_revoked', 'the certificate is revoked'),
    );
  } else if ((type === 'agent_revoked' || type === 'agent_state') && equal(subject, agent)) {
    follower.changeState(readState(payload['state']));
  }
}

function readState(value: string | number | undefined): AgentState {
  const known = states.find((state) => state === value);
  // Written by a newer version: it is not for us to let go on what it may have ended.
  return known ?? 'suspended';
}

/** A few milliseconds of work. */
const followersAtATime = 200;

const states: readonly AgentState[] = [
  'enrolled',
  'active',
  'suspended',
  'quarantined',
  'banned',
  'retired',
];
