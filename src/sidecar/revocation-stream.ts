import type { ServerWritableStream } from '@grpc/grpc-js';
import type {
  RevokedPeer,
  WatchRevocationsRequest,
  WatchRevocationsResponse,
} from '../gen/sidekey/v1/workload.ts';
import type { CredentialSource, RevokedCertificate } from './credential-source.ts';
import { WatchCall, type WatcherTimes } from './watch-call.ts';
import type { WatchStream } from './watch-streams.ts';

/**
 * Tells one application of revoked peers: a snapshot, then what comes. However slow it reads, no more
 * than a bounded number of entries waits for it; beyond that it gets a new snapshot when it has
 * caught up. What it has not been told yet it will be, or its stream ends and it asks again.
 */
export class RevocationStream implements WatchStream {
  readonly #call: WatchCall<WatchRevocationsResponse>;
  readonly #sources: readonly CredentialSource[];
  readonly #stops: (() => void)[] = [];
  #snapshot: Iterator<RevokedCertificate, undefined> | undefined;
  #snapshotDue = true;
  #added: RevokedCertificate[] = [];

  constructor(
    call: ServerWritableStream<WatchRevocationsRequest, WatchRevocationsResponse>,
    sources: readonly CredentialSource[],
    times?: WatcherTimes,
  ) {
    this.#call = new WatchCall(call, times);
    this.#sources = sources;
  }

  start(): void {
    for (const { revocations } of this.#sources) {
      this.#stops.push(
        revocations.onAdded((added) => {
          this.#note(added);
        }),
      );
    }
    this.#call.start(
      () => {
        this.#flush();
      },
      () => {
        this.#call.write(noNews);
      },
    );
    this.#flush();
  }

  end(): void {
    this.#stop();
    this.#call.end();
  }

  close(): void {
    this.#stop();
    this.#call.close();
  }

  #stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  #note(added: readonly RevokedCertificate[] | undefined): void {
    if (added === undefined || this.#added.length + added.length > maxWaiting) {
      this.#added = [];
      this.#snapshotDue = true;
    } else {
      this.#added.push(...added);
    }
    this.#flush();
  }

  #flush(): void {
    while (!this.#call.isBlocked) {
      const message = this.#nextOfSnapshot() ?? this.#nextAdded();
      if (message === undefined) return;
      this.#call.write(message);
    }
  }

  #nextOfSnapshot(): WatchRevocationsResponse | undefined {
    // One that is under way is not finished when another is due: it would be out of date.
    const starts = this.#snapshotDue;
    if (starts) {
      this.#snapshotDue = false;
      this.#added = [];
      this.#snapshot = everythingOf(this.#sources);
    }
    if (this.#snapshot === undefined) return undefined;
    const peers: RevokedPeer[] = [];
    let last = false;
    while (peers.length < entriesPerMessage && !last) {
      const entry = this.#snapshot.next();
      if (entry.done === true) last = true;
      else peers.push(revokedPeer(entry.value));
    }
    if (last) this.#snapshot = undefined;
    return { snapshotStart: starts, snapshotComplete: last, peers };
  }

  #nextAdded(): WatchRevocationsResponse | undefined {
    if (this.#added.length === 0) return undefined;
    const peers = this.#added.splice(0, entriesPerMessage).map(revokedPeer);
    return { ...noNews, peers };
  }
}

function* everythingOf(
  sources: readonly CredentialSource[],
): Generator<RevokedCertificate, undefined> {
  for (const { revocations } of sources) yield* revocations.all();
  return undefined;
}

function revokedPeer(revoked: RevokedCertificate): RevokedPeer {
  return {
    serial: 'serial' in revoked ? Buffer.from(revoked.serial) : empty,
    // Serial numbers are unique within a trust domain.
    issuer: empty,
    spiffeId: 'spiffeId' in revoked ? revoked.spiffeId : '',
    reason: revoked.reason,
  };
}

const empty = Buffer.alloc(0);
const noNews: WatchRevocationsResponse = {
  snapshotStart: false,
  snapshotComplete: false,
  peers: [],
};

/** Some 16 KiB. */
const entriesPerMessage = 500;
const maxWaiting = 10_000;
