import {
  type FollowTrustResponse,
  type Revocation,
  TrustBundle,
} from '../../gen/sidekey/v1/certificate_authority.ts';
import type { LivingRevocation } from '../revocation/revocation-index.ts';
import type { StoredBundle } from './bundle-document.ts';
import type { FeedBatch, TrustFeed } from './trust-feed.ts';

/** All that hosts have to know, cut into messages; up to date as of feed entry `sequence`. */
export interface Snapshot {
  readonly sequence: number;
  readonly messages: readonly FollowTrustResponse[];
}

/**
 * Makes the messages that many hosts get, and makes each of them once: hosts that are equally far
 * share it, encoded.
 */
export class FollowMessages {
  readonly #feed: TrustFeed;
  readonly #epoch: string;
  readonly #now: () => Date;
  readonly #batches = new WeakMap<FeedBatch, FollowTrustResponse>();
  readonly #bundles = new WeakMap<StoredBundle, FollowTrustResponse>();
  #snapshot: Snapshot | undefined;
  #snapshotAt = 0;

  constructor(options: {
    readonly feed: TrustFeed;
    readonly epoch: string;
    readonly now: () => Date;
  }) {
    this.#feed = options.feed;
    this.#epoch = options.epoch;
    this.#now = options.now;
  }

  /** What happened; without trust bundle and TLS floors, of which only the newest matter. */
  batch(batch: FeedBatch): FollowTrustResponse {
    const known = this.#batches.get(batch);
    if (known !== undefined) return known;
    const revocations = batch.items.flatMap(({ type, subject, payload, at }): Revocation[] => {
      if (type !== 'certificate_revoked' && type !== 'agent_revoked') return [];
      return [
        {
          serial: type === 'certificate_revoked' ? Buffer.from(subject) : Buffer.alloc(0),
          spiffeId: type === 'agent_revoked' ? String(payload['spiffeId']) : '',
          reason: String(payload['reason']),
          revokedAt: new Date(at),
          notAfter: new Date(Number(payload['notAfter'])),
        },
      ];
    });
    const message = this.message({ feedSequence: BigInt(batch.to), revocations });
    this.#batches.set(batch, message);
    return message;
  }

  /** The newest trust bundle, for hosts that are at `position`: when it is published, nearly all. */
  bundle(bundle: StoredBundle, position: number): FollowTrustResponse {
    const known = this.#bundles.get(bundle);
    if (known?.feedSequence === BigInt(position)) return known;
    const message = this.message({
      feedSequence: BigInt(position),
      trustBundle: TrustBundle.decode(bundle.document),
    });
    this.#bundles.set(bundle, message);
    return message;
  }

  /**
   * Everything revoked. Made anew when entries since it are no longer in memory, or when so much has
   * happened that it would be outdated at once.
   */
  snapshot(): Snapshot {
    const { head, oldest } = this.#feed;
    const now = this.#now().getTime();
    const known = this.#snapshot;
    if (
      known !== undefined &&
      known.sequence >= oldest &&
      head - known.sequence <= maxSnapshotLag &&
      now - this.#snapshotAt <= maxSnapshotAgeMs
    ) {
      return known;
    }
    const revocations = Array.from(this.#feed.revocations.living(now), revocationMessage);
    const pieces: Revocation[][] = [];
    for (let start = 0; start < revocations.length; start += snapshotPiece) {
      pieces.push(revocations.slice(start, start + snapshotPiece));
    }
    if (pieces.length === 0) pieces.push([]);
    const last = pieces.length - 1;
    const snapshot = {
      sequence: head,
      messages: pieces.map((piece, index) =>
        this.message({
          snapshotStart: index === 0,
          snapshotComplete: index === last,
          // Only the whole of it brings a host anywhere.
          feedSequence: BigInt(index === last ? head : 0),
          revocations: piece,
        }),
      ),
    };
    this.#snapshot = snapshot;
    this.#snapshotAt = now;
    return snapshot;
  }

  /** A sign of life for those who have everything. */
  heartbeat(): FollowTrustResponse {
    return this.message({ feedSequence: BigInt(this.#feed.head), serverTime: this.#now() });
  }

  /** What concerns one host. */
  message(fields: Partial<FollowTrustResponse>): FollowTrustResponse {
    return { ...noNews, epoch: this.#epoch, ...fields };
  }
}

function revocationMessage(revocation: LivingRevocation): Revocation {
  const { spiffeId, subject, reason, at, notAfter } = revocation;
  return {
    serial: spiffeId === undefined ? Buffer.from(subject) : Buffer.alloc(0),
    spiffeId: spiffeId ?? '',
    reason,
    revokedAt: new Date(at),
    notAfter: new Date(notAfter),
  };
}

const noNews: FollowTrustResponse = {
  feedSequence: 0n,
  epoch: '',
  snapshotStart: false,
  snapshotComplete: false,
  revocations: [],
  trustBundle: undefined,
  tlsPolicy: undefined,
  renewAt: undefined,
  agentState: '',
  serverTime: undefined,
  ticketKeysNotBefore: undefined,
};

/** Some 12 KB encoded: what one host can make us hold on its behalf. */
const snapshotPiece = 250;
/** A host that gets a snapshot reads what came after it from the batches. */
const maxSnapshotLag = 5000;
const maxSnapshotAgeMs = 600_000;
