import { WatchRevocationsRequest, WatchRevocationsResponse } from '../gen/sidekey/v1/workload.ts';
import type { TokenSource } from './access-token.ts';
import {
  type GrpcCall,
  type GrpcChannel,
  GrpcStatus,
  type GrpcStatusError,
} from './grpc-channel.ts';
import type { LivePeers, RevokedPeer } from './live-peers.ts';

/** How patient a watch is, in milliseconds. */
export interface RevocationWatchTimes {
  /** Without a sign of life from the sidecar, the stream is taken for dead. */
  readonly silenceMs: number;
  /** How long the stream is kept after the last connection has ended. */
  readonly lingerMs: number;
  /** Pause before the first attempt to get a lost stream back, and the longest one. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** Pause before a sidecar without the call is asked again. */
  readonly unsupportedMs: number;
}

/**
 * Hears from the sidecar whose certificates are revoked, and ends the connections with them: the
 * sidecar is not on the data path and cannot. One stream for a process, open while there are
 * connections; it comes back by itself after a sidecar was away, and a sidecar without the call does
 * no harm. Keeps no process alive.
 */
export class RevocationWatch {
  readonly #channel: GrpcChannel;
  readonly #token: TokenSource;
  readonly #peers: LivePeers;
  readonly #times: RevocationWatchTimes;
  #state: State = { tag: 'Idle' };
  #attempt = 0;
  #linger: NodeJS.Timeout | undefined;

  constructor(
    channel: GrpcChannel,
    token: TokenSource,
    peers: LivePeers,
    times: RevocationWatchTimes = defaultTimes,
  ) {
    this.#channel = channel;
    this.#token = token;
    this.#peers = peers;
    this.#times = times;
    peers.onChange = (occupied) => {
      if (occupied) this.#wanted();
      else this.#unwanted();
    };
  }

  close(): void {
    this.#peers.onChange = undefined;
    clearTimeout(this.#linger);
    this.#stop();
    this.#state = { tag: 'Closed' };
  }

  #wanted(): void {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    if (this.#state.tag === 'Idle') this.#open();
  }

  #unwanted(): void {
    this.#linger = setTimeout(() => {
      this.#stop();
    }, this.#times.lingerMs).unref();
  }

  #stop(): void {
    const state = this.#state;
    if (state.tag === 'Closed') return;
    this.#state = { tag: 'Idle' };
    if (state.tag === 'Waiting') clearTimeout(state.timer);
    if (state.tag === 'Open') state.stream.cancel();
  }

  #open(): void {
    const stream = new WatchStream(this.#times.silenceMs, (peers) => {
      this.#attempt = 0;
      this.#peers.revoke(peers);
    });
    this.#state = { tag: 'Open', stream };
    stream.run(this.#channel, this.#token).then(
      (status) => {
        this.#ended(stream, status);
      },
      () => {
        this.#ended(stream, undefined);
      },
    );
  }

  #ended(stream: WatchStream, status: GrpcStatusError | undefined): void {
    if (this.#state.tag !== 'Open' || this.#state.stream !== stream) return;
    if (this.#peers.size === 0) {
      this.#state = { tag: 'Idle' };
      return;
    }
    const timer = setTimeout(() => {
      this.#open();
    }, this.#pauseMs(status)).unref();
    this.#state = { tag: 'Waiting', timer };
  }

  /** Doubles, with jitter: all applications of a host lose their sidecar at the same time. */
  #pauseMs(status: GrpcStatusError | undefined): number {
    const { retryMs, maxRetryMs, unsupportedMs } = this.#times;
    if (status?.code === GrpcStatus.unimplemented) return unsupportedMs;
    this.#attempt += 1;
    return Math.min(maxRetryMs, retryMs * 2 ** (this.#attempt - 1)) * (0.5 + Math.random() / 2);
  }
}

type State =
  | { readonly tag: 'Idle' }
  | { readonly tag: 'Open'; readonly stream: WatchStream }
  | { readonly tag: 'Waiting'; readonly timer: NodeJS.Timeout }
  | { readonly tag: 'Closed' };

/** One call of WatchRevocations. */
class WatchStream {
  readonly #silenceMs: number;
  readonly #heard: (peers: readonly RevokedPeer[]) => void;
  #call: GrpcCall | undefined;
  #cancelled = false;
  #silence: NodeJS.Timeout | undefined;

  constructor(silenceMs: number, heard: (peers: readonly RevokedPeer[]) => void) {
    this.#silenceMs = silenceMs;
    this.#heard = heard;
  }

  /** Resolves with what it ended with; rejects if there was no sidecar. */
  async run(channel: GrpcChannel, tokens: TokenSource): Promise<GrpcStatusError> {
    const token = await tokens.current();
    const metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const status = await new Promise<GrpcStatusError>((resolve, reject) => {
      const events = {
        message: (bytes: Uint8Array) => {
          this.#message(bytes);
        },
        end: resolve,
      };
      channel.call(path, metadata, events).then((call) => {
        this.#call = call;
        if (this.#cancelled) call.cancel();
        call.send(WatchRevocationsRequest.encode({}).finish());
        call.endSending();
        this.#listen();
      }, reject);
    });
    clearTimeout(this.#silence);
    if (status.code === GrpcStatus.unauthenticated) await tokens.renew(token);
    return status;
  }

  cancel(): void {
    this.#cancelled = true;
    this.#call?.cancel();
  }

  #message(bytes: Uint8Array): void {
    this.#silence?.refresh();
    // What is decoded are copies: the memory of a message is only lent.
    const { peers } = WatchRevocationsResponse.decode(bytes);
    // A handshake whose result came in the same read is established by then, and found.
    setImmediate(() => {
      if (!this.#cancelled) this.#heard(peers);
    });
  }

  #listen(): void {
    this.#silence = setTimeout(() => {
      this.#call?.cancel();
    }, this.#silenceMs).unref();
  }
}

const path = '/sidekey.v1.WorkloadService/WatchRevocations';

/** The sidecar gives a sign of life every 15 seconds. */
const defaultTimes: RevocationWatchTimes = {
  silenceMs: 50_000,
  lingerMs: 60_000,
  retryMs: 100,
  maxRetryMs: 5000,
  unsupportedMs: 300_000,
};
