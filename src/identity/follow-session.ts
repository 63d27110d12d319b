import {
  FollowTrustRequest,
  FollowTrustResponse,
  type HostReport,
} from '../gen/sidekey/v1/certificate_authority.ts';
import type { GrpcCall } from '../rpc/client/grpc-channel.ts';
import type { GrpcStatusError } from '../rpc/client/grpc-status.ts';
import type { AuthorityLink } from './authority-link.ts';
import { FeedError } from './feed-message.ts';
import { FeedReader } from './feed-reader.ts';
import { type HostTrust, tlsFloorsOf } from './host-trust.ts';
import type { Timers } from './timers.ts';

export interface FollowSessionOptions {
  readonly link: AuthorityLink;
  readonly trust: HostTrust;
  readonly now: () => Date;
  readonly timers: Timers;
  /** What this host's listeners do now. */
  readonly report: () => HostReport;
  /** Called as messages arrive, before they are kept. */
  readonly onArrived: (message: FollowTrustResponse) => void;
  /** Called after trust or guidance have changed. */
  readonly onChanged: () => void;
  /** A trust bundle that is not followed; the rest of the feed goes on. */
  readonly onBundleRefused: (error: Error) => void;
}

/**
 * One FollowTrust stream, from its opening to its end. What arrives is kept before it is
 * acknowledged; what is acknowledged is in use.
 */
export class FollowSession {
  readonly #options: FollowSessionOptions;
  readonly #reader: FeedReader;
  #call: GrpcCall | undefined;
  #inbox: FollowTrustResponse[] = [];
  #paused = false;
  #failure: Error | undefined;
  #ended: GrpcStatusError | undefined;
  #wake: (() => void) | undefined;
  #stopWatch: (() => void) | undefined;
  #lastReport = '';
  #lastReportAt = -Infinity;
  #acknowledged = '';
  #messages = 0;

  constructor(options: FollowSessionOptions) {
    this.#options = options;
    this.#reader = new FeedReader(options.trust, options.now);
  }

  /** How many messages came. */
  get messages(): number {
    return this.#messages;
  }

  /**
   * Resolves when the authority ends the stream in order. Rejects with its status, the dial's error,
   * what was wrong with a message, or the error of a file.
   */
  async run(): Promise<void> {
    this.#watch();
    try {
      this.#call = await this.#options.link.followTrust({
        message: (bytes) => {
          this.#arrived(bytes);
        },
        end: (status) => {
          this.#ended = status;
          this.#wake?.();
        },
      });
      if (this.#failure !== undefined) throw this.#failure;
      this.#send();
      await this.#keepAll();
    } finally {
      this.#stopWatch?.();
      this.#call?.cancel();
    }
  }

  /** Ends the stream with this error. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#call?.cancel();
    this.#wake?.();
  }

  async #keepAll(): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const batch = this.#inbox;
      if (batch.length > 0) {
        this.#inbox = [];
        await this.#keep(batch);
        this.#acknowledge();
        continue;
      }
      if (this.#ended !== undefined) {
        if (this.#ended.code === 0) return;
        throw this.#ended;
      }
      this.#setPaused(false);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  #arrived(bytes: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      const message = decode(bytes);
      this.#messages += 1;
      this.#reader.arrived(message);
      this.#options.trust.heard(this.#options.now());
      this.#options.onArrived(message);
      this.#inbox.push(message);
      if (this.#inbox.length >= maxInbox) this.#setPaused(true);
      this.#watch();
    } catch (error) {
      this.fail(error instanceof Error ? error : new Error(String(error)));
    }
    this.#wake?.();
  }

  async #keep(batch: readonly FollowTrustResponse[]): Promise<void> {
    const { trust, onChanged, onBundleRefused } = this.#options;
    await this.#reader.keep(batch);
    let changed = false;
    for (const message of batch) {
      if (message.trustBundle !== undefined) {
        try {
          changed = (await trust.adopt(message.trustBundle)) || changed;
        } catch (error) {
          // Not acknowledged, so the authority counts this host among those that are behind.
          onBundleRefused(error instanceof Error ? error : new Error(String(error)));
        }
      }
      changed = (await this.#guide(message)) || changed;
    }
    if (changed) onChanged();
  }

  async #guide(message: FollowTrustResponse): Promise<boolean> {
    const { trust } = this.#options;
    const { agentState, tlsPolicy, ticketKeysNotBefore } = trust.guidance;
    const floors = tlsFloorsOf(message);
    const state = message.agentState === '' ? agentState : message.agentState;
    const tickets = message.ticketKeysNotBefore ?? ticketKeysNotBefore;
    const isNew =
      state !== agentState ||
      tickets?.getTime() !== ticketKeysNotBefore?.getTime() ||
      (floors !== undefined && floors.version !== tlsPolicy?.version);
    if (!isNew) return false;
    await trust.guide({
      agentState: state,
      tlsPolicy: floors ?? tlsPolicy,
      ticketKeysNotBefore: tickets,
    });
    return true;
  }

  #acknowledge(): void {
    const isNew = this.#position() !== this.#acknowledged;
    if (isNew || this.#isReportDue()) this.#send();
  }

  #send(): void {
    const { trust, now } = this.#options;
    const { position, guidance } = trust;
    this.#acknowledged = this.#position();
    const request: FollowTrustRequest = {
      bundleSequence: BigInt(trust.trust?.sequence ?? 0),
      feedSequence: BigInt(position.sequence),
      tlsPolicyVersion: BigInt(guidance.tlsPolicy?.version ?? 0),
      epoch: position.epoch,
      report: undefined,
    };
    if (this.#isReportDue()) {
      const report = this.#options.report();
      this.#lastReport = digestOf(report);
      this.#lastReportAt = now().getTime();
      request.report = report;
    }
    this.#call?.send(FollowTrustRequest.encode(request).finish());
  }

  #position(): string {
    const { position, trust, guidance } = this.#options.trust;
    const policy = guidance.tlsPolicy?.version ?? 0;
    return [position.epoch, position.sequence, trust?.sequence ?? 0, policy].join(' ');
  }

  /** The first message has one; later ones if it says something else, and not too often. */
  #isReportDue(): boolean {
    const { now, report } = this.#options;
    if (now().getTime() - this.#lastReportAt < reportEveryMs) return false;
    return digestOf(report()) !== this.#lastReport;
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (paused) this.#call?.pause();
    else this.#call?.resume();
  }

  /** The authority gives a sign of life every few seconds: without one, the connection is dead. */
  #watch(): void {
    this.#stopWatch?.();
    this.#stopWatch = this.#options.timers.after(silenceMs, () => {
      // While we hold the stream up ourselves, its silence says nothing.
      if (this.#inbox.length > 0) {
        this.#watch();
        return;
      }
      this.fail(new FeedError('it has been silent for a minute'));
      // Nothing else will come of this connection either.
      void this.#options.link.reset();
    });
  }
}

function decode(bytes: Uint8Array): FollowTrustResponse {
  try {
    return FollowTrustResponse.decode(bytes);
  } catch (cause) {
    throw new FeedError('a message of the feed cannot be decoded', { cause });
  }
}

function digestOf({ version, listeners }: HostReport): string {
  return JSON.stringify({ version, listeners }, (_name, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}

const maxInbox = 64;
const silenceMs = 60_000;
const reportEveryMs = 60_000;
