import type { FollowTrustResponse } from '../../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { AgentState } from '../store/schema.ts';
import type { FollowMessages, Snapshot } from './follow-messages.ts';
import type { SnapshotSlots } from './snapshot-slots.ts';
import type { TrustFeed } from './trust-feed.ts';

/** Who follows, by its certificate. */
export interface FollowingHost {
  readonly agent: Uint8Array;
  readonly spiffeId: string;
  /** Of the certificate it connected with, 16 bytes. */
  readonly serial: Uint8Array;
  /** CA generation that signed it. */
  readonly issuer: Uint8Array;
  /** ms. */
  readonly notAfter: number;
}

/** What a host has when it comes. */
export interface FollowerStart {
  /** The numbers below are of another store, or of none. */
  readonly isNew: boolean;
  readonly feed: number;
  readonly bundle: number;
  readonly tlsPolicy: bigint;
}

/** What is asked of single hosts; `Rotation` fits. */
export interface HostOrders {
  renewAt(agent: Uint8Array, issuer: Uint8Array): Date | undefined;
  ticketKeysNotBefore(): Date | undefined;
  /** Called when answers of the two may have changed. */
  onChange(listener: () => void): () => void;
}

/** The way to a host. */
export interface FollowerSink {
  /** `sent` is called when the next may come. */
  send(message: FollowTrustResponse, sent: () => void): void;
  /** Ends the stream behind what was sent. */
  end(error: ServiceError): void;
  /** Ends the connection at once. */
  cut(): void;
}

/** What all followers have in common. */
export interface FollowerSources {
  readonly feed: TrustFeed;
  readonly messages: FollowMessages;
  readonly snapshots: SnapshotSlots;
  readonly orders: HostOrders;
  readonly now: () => Date;
}

/**
 * One host that follows. It has one message under way at a time, and what comes next is chosen when
 * that is sent: a slow host makes nothing pile up, it gets fewer and larger messages, or a snapshot
 * in the end.
 */
export class Follower {
  readonly host: FollowingHost;
  readonly #sources: FollowerSources;
  readonly #sink: FollowerSink;
  #position: number;
  #bundle: number;
  #tlsPolicy: bigint;
  #renewAt: number | undefined;
  #ticketKeysNotBefore: number | undefined;
  #state: AgentState;
  #told: AgentState | undefined;
  #snapshot: { readonly content: Snapshot; next: number } | 'wanted' | 'waiting' | undefined;
  #releaseSlot: (() => void) | undefined;
  #heartbeatDue = false;
  #sendingSince: number | undefined;
  #ending: ServiceError | undefined;
  #ended = false;

  constructor(options: {
    readonly host: FollowingHost;
    readonly state: AgentState;
    readonly start: FollowerStart;
    readonly sources: FollowerSources;
    readonly sink: FollowerSink;
  }) {
    const { start, sources } = options;
    this.host = options.host;
    this.#state = options.state;
    this.#sources = sources;
    this.#sink = options.sink;
    const { head, oldest } = sources.feed;
    const canFollow = !start.isNew && start.feed >= oldest && start.feed <= head;
    this.#position = canFollow ? start.feed : 0;
    this.#snapshot = canFollow ? undefined : 'wanted';
    this.#bundle = start.isNew ? 0 : start.bundle;
    this.#tlsPolicy = start.isNew ? -1n : start.tlsPolicy;
  }

  /** Number of the feed entry that it was brought to. */
  get position(): number {
    return this.#position;
  }

  /** Sends what there is. */
  wake(): void {
    if (this.#ended || this.#sendingSince !== undefined) return;
    const message = this.#next();
    if (message === undefined) {
      if (this.#ending !== undefined) this.#finish(this.#ending);
      return;
    }
    this.#sendingSince = this.#sources.now().getTime();
    this.#sink.send(message, () => {
      this.#sendingSince = undefined;
      this.wake();
    });
  }

  /** Regularly: a sign of life, if the host has everything else. */
  beat(slowMs: number): void {
    const now = this.#sources.now().getTime();
    if (this.#sendingSince !== undefined) {
      if (now - this.#sendingSince > slowMs) this.cut();
      return;
    }
    if (now > this.host.notAfter) {
      this.end(ended('UNAUTHENTICATED', 'certificate_expired', 'the certificate has expired'));
      return;
    }
    this.#heartbeatDue = true;
    this.wake();
  }

  /** The agent's state has changed; one that takes part no longer is told, and the stream ends. */
  changeState(state: AgentState): void {
    this.#state = state;
    this.wake();
  }

  /** Ends the stream behind what is under way. */
  end(error: ServiceError): void {
    this.#ending ??= error;
    this.wake();
  }

  /** Ends it at once. */
  cut(): void {
    if (this.#ended) return;
    this.closed();
    this.#sink.cut();
  }

  /** The other side has ended it. */
  closed(): void {
    this.#ended = true;
    this.#releaseSlot?.();
    this.#releaseSlot = undefined;
    if (this.#snapshot === 'waiting') this.#sources.snapshots.forget(this);
  }

  /** Called when a slot for a snapshot is free; `release` when it is needed no more. */
  takeSnapshot(release: () => void): void {
    this.#releaseSlot = release;
    this.#snapshot = { content: this.#sources.messages.snapshot(), next: 0 };
    this.wake();
  }

  #finish(error: ServiceError): void {
    this.closed();
    this.#sink.end(error);
  }

  #next(): FollowTrustResponse | undefined {
    return this.#personal() ?? (this.#ending === undefined ? this.#common() : undefined);
  }

  /** What concerns this host alone. */
  #personal(): FollowTrustResponse | undefined {
    const { messages, orders, now, feed } = this.#sources;
    const news: Partial<FollowTrustResponse> = {};
    if (this.#told !== this.#state) {
      // With the first message comes the clock.
      if (this.#told === undefined) news.serverTime = now();
      news.agentState = this.#state;
      this.#told = this.#state;
      this.#ending ??= endOf(this.#state);
    }
    if (this.#ending === undefined) {
      const { agent, issuer } = this.host;
      const renewAt = orders.renewAt(agent, issuer);
      if (renewAt !== undefined && renewAt.getTime() !== this.#renewAt) news.renewAt = renewAt;
      this.#renewAt = renewAt?.getTime();
      const ticketKeys = orders.ticketKeysNotBefore();
      if (ticketKeys !== undefined && ticketKeys.getTime() !== this.#ticketKeysNotBefore) {
        news.ticketKeysNotBefore = ticketKeys;
      }
      this.#ticketKeysNotBefore = ticketKeys?.getTime();
      const policy = feed.tlsPolicy;
      if (policy !== undefined && policy.version > this.#tlsPolicy) {
        news.tlsPolicy = policy;
        this.#tlsPolicy = policy.version;
      }
    }
    if (Object.keys(news).length === 0) return undefined;
    return messages.message({ ...news, feedSequence: BigInt(this.#position) });
  }

  /** What all hosts are told, in its order. */
  #common(): FollowTrustResponse | undefined {
    const { feed, messages } = this.#sources;
    if (feed.bundle !== undefined && feed.bundle.sequence > this.#bundle) {
      this.#bundle = feed.bundle.sequence;
      return messages.bundle(feed.bundle, this.#position);
    }
    if (this.#snapshot === undefined && this.#position < feed.oldest) this.#snapshot = 'wanted';
    if (this.#snapshot !== undefined) return this.#nextOfSnapshot();
    const batch = feed.batchAfter(this.#position);
    if (batch !== undefined) {
      this.#position = batch.to;
      return messages.batch(batch);
    }
    if (!this.#heartbeatDue) return undefined;
    this.#heartbeatDue = false;
    return messages.heartbeat();
  }

  #nextOfSnapshot(): FollowTrustResponse | undefined {
    if (this.#snapshot === 'wanted') {
      this.#snapshot = 'waiting';
      this.#sources.snapshots.request(this);
    }
    // When a slot is free, the rest is sent from there.
    if (typeof this.#snapshot !== 'object') return undefined;
    const { content } = this.#snapshot;
    const message = content.messages[this.#snapshot.next];
    this.#snapshot.next += 1;
    if (this.#snapshot.next >= content.messages.length) {
      this.#position = content.sequence;
      this.#snapshot = undefined;
      this.#releaseSlot?.();
      this.#releaseSlot = undefined;
    }
    return message;
  }
}

function endOf(state: AgentState): ServiceError | undefined {
  if (state === 'enrolled' || state === 'active') return undefined;
  return ended('PERMISSION_DENIED', `agent_${state}`, `the agent is ${state}`);
}

function ended(
  status: 'UNAUTHENTICATED' | 'PERMISSION_DENIED',
  reason: string,
  message: string,
): ServiceError {
  return new ServiceError(status, reason, message);
}
