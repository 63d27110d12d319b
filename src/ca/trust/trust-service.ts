import type { handleBidiStreamingCall, ServerDuplexStream } from '@grpc/grpc-js';
import type {
  FollowTrustRequest,
  FollowTrustResponse,
} from '../../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError, toStatus } from '../../rpc/errors.ts';
import { Acknowledgements } from '../agents/acknowledgements.ts';
import type { AuthorityContext } from '../context.ts';
import type { RevocationIndex } from '../revocation/revocation-index.ts';
import type { PeerIdentity } from '../service/peer-identity.ts';
import type { AgentState } from '../store/schema.ts';
import { writeHostReport } from '../tls-policy/host-reports.ts';
import { every, nodeTimers, type Timers } from '../timers.ts';
import { admitHost, describePeerSerial } from './admit-host.ts';
import { compactFeed } from './compact-feed.ts';
import { FollowMessages } from './follow-messages.ts';
import { Follower, type FollowerSink, type FollowingHost, type HostOrders } from './follower.ts';
import { Followers, tellOwnNews } from './followers.ts';
import { RefusalLog } from './refusal-log.ts';
import { SnapshotSlots } from './snapshot-slots.ts';
import { TrustFeed } from './trust-feed.ts';

/** A call as far as its connection is concerned. */
export interface CallPeer {
  getPeer(): string;
}

export interface TrustServiceOptions {
  readonly context: Pick<AuthorityContext, 'epoch' | 'store' | 'now' | 'log'>;
  /** Who is at the other end of a call's connection; `undefined`: nobody we know. */
  readonly peer: (call: CallPeer) => PeerIdentity | undefined;
  /** Ends the connection of a call at once. */
  readonly cut: (call: CallPeer) => void;
  readonly orders: HostOrders;
  /** First use of a certificate seen: what it replaces is superseded. */
  readonly confirm: (serial: Uint8Array) => Promise<void>;
  readonly timers?: Timers;
  readonly limits?: Partial<TrustServiceLimits>;
}

export interface TrustServiceLimits {
  /** Between signs of life. */
  readonly heartbeatMs: number;
  /** For one message to be taken. */
  readonly slowMs: number;
  /** From the opening of a stream to its first message. */
  readonly firstMessageMs: number;
  readonly maxFollowers: number;
  readonly maxSnapshots: number;
}

/**
 * Serves `FollowTrust`: tells hosts of trust bundles, revocations, TLS floors and what is asked of
 * them, as they happen, and writes down what they have put to use. Memory grows with the number of
 * followers, not with how slow they are.
 */
export class TrustService {
  readonly #options: TrustServiceOptions;
  readonly #limits: TrustServiceLimits;
  readonly #timers: Timers;
  readonly #feed: TrustFeed;
  readonly #messages: FollowMessages;
  readonly #snapshots: SnapshotSlots;
  readonly #followers = new Followers();
  readonly #acknowledgements: Acknowledgements;
  readonly #refusals: RefusalLog;
  readonly #stops: (() => void)[] = [];
  #admitting = 0;
  #beats = 0;
  #closed = false;

  constructor(options: TrustServiceOptions) {
    const { context, timers = nodeTimers } = options;
    this.#options = options;
    this.#limits = { ...defaults, ...options.limits };
    this.#timers = timers;
    this.#feed = new TrustFeed(context);
    this.#messages = new FollowMessages({ ...context, feed: this.#feed });
    this.#snapshots = new SnapshotSlots(this.#limits.maxSnapshots);
    this.#acknowledgements = new Acknowledgements({ ...context, timers });
    this.#refusals = new RefusalLog(context);
  }

  /** Begins to follow the store. Until then callers are asked to come again. */
  async start(): Promise<void> {
    await this.#feed.start();
    const { orders } = this.#options;
    this.#stops.push(
      this.#feed.onBatch((batch) => {
        this.#followers.take(batch);
      }),
      orders.onChange(() => {
        this.#followers.wakeAll();
      }),
      every(this.#timers, this.#limits.heartbeatMs, () => {
        this.#beat();
      }),
    );
  }

  /** What is revoked, as of the last feed entry read: for whoever has to refuse it. */
  get revocations(): RevocationIndex {
    return this.#feed.revocations;
  }

  /** What this replica knows of the feed. */
  get feed(): TrustFeed {
    return this.#feed;
  }

  /** Hosts that follow now. */
  get followers(): number {
    return this.#followers.size;
  }

  /** Writes acknowledgements that wait; for gates, which count them in the store. */
  async flush(): Promise<void> {
    await this.#acknowledgements.flush();
  }

  /** Ends all streams; hosts come again, to another replica or later. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#stops.splice(0)) stop();
    this.#feed.close();
    for (const follower of this.#followers) {
      follower.end(new ServiceError('UNAVAILABLE', 'closing', 'the authority is being stopped'));
    }
    await this.#acknowledgements.close();
  }

  readonly followTrust: handleBidiStreamingCall<FollowTrustRequest, FollowTrustResponse> = (
    call,
  ) => {
    const stopWaiting = this.#timers.after(this.#limits.firstMessageMs, () => {
      fail(call, new ServiceError('DEADLINE_EXCEEDED', 'first_message', 'no message came'));
    });
    // Errors of the stream end it: gRPC has a listener of its own, and 'close' follows.
    call.once('close', stopWaiting);
    call.once('end', stopWaiting);
    call.once('data', (request: FollowTrustRequest) => {
      stopWaiting();
      call.pause();
      this.#accept(call, request).catch((error: unknown) => {
        if (!(error instanceof ServiceError)) {
          this.#options.context.log.error({ err: error }, 'a host could not be let follow');
        }
        fail(call, error instanceof ServiceError ? error : internal());
      });
    });
  };

  async #accept(call: Call, request: FollowTrustRequest): Promise<void> {
    const { context, confirm } = this.#options;
    const { maxFollowers } = this.#limits;
    if (this.#closed || this.#stops.length === 0) throw busy('not_ready', 1000);
    if (this.#followers.size + this.#admitting >= maxFollowers)
      throw busy('too_many_hosts', 30_000);
    const peer = this.#options.peer(call);
    const headBefore = this.#feed.head;
    this.#admitting += 1;
    try {
      const { host, state, isFirstUse } = await admitHost(
        peer,
        this.#feed.revocations,
        context.store.queries,
      ).catch((error: unknown) => {
        if (error instanceof ServiceError) this.#refusals.note(describePeerSerial(peer), error);
        throw error;
      });
      if (isFirstUse) await confirm(host.serial);
      // A host can know more than this replica has read so far.
      if (Number(request.feedSequence) > this.#feed.head) await this.#feed.advance();
      if (call.cancelled) return;
      this.#follow(call, request, { host, state, headBefore });
    } finally {
      this.#admitting -= 1;
    }
  }

  #follow(
    call: Call,
    request: FollowTrustRequest,
    admitted: {
      readonly host: FollowingHost;
      readonly state: AgentState;
      readonly headBefore: number;
    },
  ): void {
    const { context, orders } = this.#options;
    const { host, state, headBefore } = admitted;
    const follower = new Follower({
      host,
      state,
      start: {
        isNew: request.epoch !== context.epoch,
        feed: Number(request.feedSequence),
        bundle: Number(request.bundleSequence),
        tlsPolicy: request.tlsPolicyVersion,
      },
      sources: {
        feed: this.#feed,
        messages: this.#messages,
        snapshots: this.#snapshots,
        orders,
        now: context.now,
      },
      sink: this.#sinkOf(call, () => {
        gone();
      }),
    });
    const gone = (): void => {
      follower.closed();
      this.#followers.remove(follower);
    };
    call.once('close', gone);
    call.once('cancelled', gone);
    call.once('end', () => {
      gone();
      call.end();
    });
    call.on('data', (next: FollowTrustRequest) => {
      this.#heard(host, next);
    });
    this.#followers.add(follower);
    // What happened between the look into the store and now.
    for (let batch = this.#feed.batchAfter(headBefore); batch !== undefined;) {
      for (const item of batch.items) tellOwnNews(follower, item);
      batch = this.#feed.batchAfter(batch.to);
    }
    this.#heard(host, request);
    follower.wake();
    call.resume();
  }

  #heard(host: FollowingHost, request: FollowTrustRequest): void {
    const { epoch } = this.#options.context;
    if (request.epoch === epoch) {
      // A host cannot have what does not exist: gates count these.
      this.#acknowledgements.acknowledged(host.agent, {
        feed: Math.min(Number(request.feedSequence), this.#feed.head),
        bundle: Math.min(Number(request.bundleSequence), this.#feed.bundle?.sequence ?? 0),
        tlsPolicy: Math.min(
          Number(request.tlsPolicyVersion),
          Number(this.#feed.tlsPolicy?.version ?? 0n),
        ),
      });
    } else {
      this.#acknowledgements.seen(host.agent);
    }
    if (request.report !== undefined) {
      this.#acknowledgements.reported(host.agent, writeHostReport(request.report));
    }
  }

  #sinkOf(call: Call, gone: () => void): FollowerSink {
    return {
      send: (message, sent) => {
        if (call.cancelled || call.destroyed) return;
        call.write(message, (error?: Error | null) => {
          if (error === null || error === undefined) sent();
        });
      },
      end: (error) => {
        gone();
        fail(call, error);
      },
      cut: () => {
        gone();
        this.#options.cut(call);
      },
    };
  }

  #beat(): void {
    // In case that nothing said that there is news.
    this.#feed.wake();
    this.#beats += 1;
    if (this.#beats % beatsPerPruning === 0) {
      this.#feed.revocations.prune(this.#options.context.now().getTime());
    }
    if (this.#beats % beatsPerCompaction === 0) this.#compact();
    // Connected means seen, which gates and lists want to know now and then.
    const isSighting = this.#beats % beatsPerSighting === 0;
    this.#followers.eachInTurn((follower) => {
      follower.beat(this.#limits.slowMs);
      if (isSighting) this.#acknowledgements.seen(follower.host.agent);
    });
  }

  #compact(): void {
    const { context } = this.#options;
    compactFeed(context).catch((error: unknown) => {
      // Tried again in an hour; until then there are only more rows.
      if (!this.#closed) context.log.warn({ err: error }, 'the feed could not be compacted');
    });
  }
}

type Call = ServerDuplexStream<FollowTrustRequest, FollowTrustResponse>;

function fail(call: Call, error: ServiceError): void {
  if (call.cancelled || call.destroyed) return;
  call.emit('error', toStatus(error));
}

function busy(reason: string, retryAfterMs: number): ServiceError {
  const status = reason === 'not_ready' ? 'UNAVAILABLE' : 'RESOURCE_EXHAUSTED';
  return new ServiceError(status, reason, 'come again later', { retryAfterMs });
}

function internal(): ServiceError {
  return new ServiceError('INTERNAL', 'internal', 'internal error; see the log of the authority');
}

const defaults: TrustServiceLimits = {
  heartbeatMs: 15_000,
  slowMs: 30_000,
  firstMessageMs: 10_000,
  maxFollowers: 20_000,
  maxSnapshots: 64,
};
const beatsPerSighting = 20;
const beatsPerPruning = 40;
const beatsPerCompaction = 240;
