import { setTimeout as delay } from 'node:timers/promises';
import { WatchIdentitiesRequest, WatchIdentitiesResponse } from '../gen/sidekey/v1/workload.ts';
import type { TokenSource } from './access-token.ts';
import { asError } from './errors.ts';
import { type GrpcCall, type GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';
import { identityListOf, type IdentityList } from './identity-status.ts';
import { sidecarProblem } from './sidecar-handshaker.ts';

/** How patient a watch is, in milliseconds. */
export interface IdentityWatchTimes {
  /** Without a sign of life from the sidecar, the stream is taken for dead. */
  readonly silenceMs: number;
  /** Pause before the first attempt to get a lost stream back, and the longest one. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
}

/**
 * What the sidecar says of our identities, newest first come: a list that was not fetched yet gives way
 * to the next, so that a slow reader costs no memory. A stream that was lost is opened again, unless
 * the sidecar refuses it.
 */
export async function* watchIdentities(
  channel: GrpcChannel,
  tokens: TokenSource,
  signal?: AbortSignal,
  times: IdentityWatchTimes = defaultTimes,
): AsyncGenerator<IdentityList, void> {
  for (let attempt = 0; ;) {
    signal?.throwIfAborted();
    const token = await tokens.current();
    const stream = new IdentityFeed(times.silenceMs, signal);
    try {
      stream.open(channel, token);
      for (;;) {
        const list = await stream.next();
        if (list === undefined) break;
        attempt = 0;
        yield list;
      }
    } finally {
      stream.cancel();
    }
    signal?.throwIfAborted();
    const renewed =
      stream.code === GrpcStatus.unauthenticated && (await tokens.renew(token)) && attempt === 0;
    if (!renewed && refusals.has(stream.code)) throw sidecarProblem(stream.failure);
    attempt += 1;
    await pause(renewed ? 0 : pauseMs(times, attempt), signal);
  }
}

/** One call of WatchIdentities. */
class IdentityFeed {
  readonly #silenceMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => {
    this.#end(asError(this.#signal?.reason));
  };
  #call: GrpcCall | undefined;
  #newest: IdentityList | undefined;
  #failure: Error | undefined;
  #wake: (() => void) | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor(silenceMs: number, signal: AbortSignal | undefined) {
    this.#silenceMs = silenceMs;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** What it ended with. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  get code(): number {
    return this.#failure instanceof GrpcStatusError ? this.#failure.code : GrpcStatus.unavailable;
  }

  open(channel: GrpcChannel, token: string | undefined): void {
    const metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const events = {
      message: (bytes: Uint8Array) => {
        this.#message(bytes);
      },
      end: (status: GrpcStatusError) => {
        this.#end(status);
      },
    };
    channel.call(path, metadata, events).then(
      (call) => {
        this.#call = call;
        if (this.#failure !== undefined) {
          call.cancel();
          return;
        }
        call.send(WatchIdentitiesRequest.encode({}).finish());
        call.endSending();
        this.#silence = setTimeout(() => {
          this.#end(new Error('the sidecar gives no sign of life'));
        }, this.#silenceMs).unref();
      },
      (error: unknown) => {
        this.#end(asError(error));
      },
    );
  }

  /** The next list; `undefined`: there will be none, see {@link failure}. */
  async next(): Promise<IdentityList | undefined> {
    for (;;) {
      const newest = this.#newest;
      this.#newest = undefined;
      if (newest !== undefined || this.#failure !== undefined) return newest;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  cancel(): void {
    this.#end(new Error('the stream is not wanted any more'));
  }

  #message(bytes: Uint8Array): void {
    this.#silence?.refresh();
    if (this.#failure !== undefined) return;
    // What is decoded are copies: the memory of a message is only lent.
    const { identities } = WatchIdentitiesResponse.decode(bytes);
    if (identities === undefined) return;
    this.#newest = identityListOf(identities);
    this.#wake?.();
  }

  #end(failure: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    clearTimeout(this.#silence);
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#call?.cancel();
    this.#wake?.();
  }
}

/** Doubles, with jitter: all applications of a host lose their sidecar at the same time. */
function pauseMs({ retryMs, maxRetryMs }: IdentityWatchTimes, attempt: number): number {
  return Math.min(maxRetryMs, retryMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}

async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await delay(ms, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) });
  } catch {
    signal?.throwIfAborted();
  }
}

const path = '/sidekey.v1.WorkloadService/WatchIdentities';

/** Nothing changes by asking again. */
const refusals: ReadonlySet<number> = new Set([
  GrpcStatus.invalidArgument,
  GrpcStatus.permissionDenied,
  GrpcStatus.unimplemented,
  GrpcStatus.unauthenticated,
]);

/** The sidecar gives a sign of life every 15 seconds. */
const defaultTimes: IdentityWatchTimes = { silenceMs: 50_000, retryMs: 100, maxRetryMs: 5000 };
