import type { FollowTrustResponse } from '../gen/sidekey/v1/certificate_authority.ts';
import { FeedError, revocationsOf } from './feed-message.ts';
import type { HostTrust } from './host-trust.ts';
import type { RevokedCertificate } from './revocation-list.ts';
import type { FeedPosition } from './revocation-record.ts';

/**
 * Puts one stream of the feed into what the host knows. Steps are kept in order and together: one
 * write to disk for all that came while the last one was written.
 */
export class FeedReader {
  readonly #trust: HostTrust;
  readonly #now: () => Date;
  /** Of each message that arrived and is not kept yet. */
  readonly #unkept: (readonly RevokedCertificate[])[] = [];
  #snapshot: RevokedCertificate[] | undefined;
  #added: RevokedCertificate[] = [];
  #position: FeedPosition;

  constructor(trust: HostTrust, now: () => Date) {
    this.#trust = trust;
    this.#now = now;
    this.#position = trust.position;
  }

  /**
   * Takes revocations as they arrive. From here on they hold, before anything is written: who is
   * revoked stays so, whatever becomes of this stream. Throws {@link FeedError},
   * `TooManyRevocationsError`.
   */
  arrived(message: FollowTrustResponse): void {
    const revoked = revocationsOf(message);
    this.#unkept.push(revoked);
    this.#trust.revocations.add(revoked);
  }

  /** Puts messages that arrived on disk, in their order. Rejects with {@link FeedError} or a file's error. */
  async keep(messages: readonly FollowTrustResponse[]): Promise<void> {
    for (const message of messages) await this.#step(message);
    await this.#flush();
  }

  async #step(message: FollowTrustResponse): Promise<void> {
    if (message.snapshotStart) {
      this.#added = [];
      this.#snapshot = [];
    }
    const revoked = this.#unkept.shift() ?? [];
    if (this.#snapshot !== undefined) {
      for (const each of revoked) this.#snapshot.push(each);
      if (message.snapshotComplete) await this.#completeSnapshot(message, this.#snapshot);
      return;
    }
    if (message.epoch !== this.#position.epoch) {
      // News of other kinds may come before the snapshot; they bring us nowhere in the feed.
      if (revoked.length === 0) return;
      // A store that was restored: what we have belongs to another history.
      this.#trust.loseTrack();
      throw new FeedError('the feed goes on in another epoch without a snapshot');
    }
    const sequence = Number(message.feedSequence);
    if (sequence < this.#position.sequence && revoked.length > 0) {
      throw new FeedError(
        `the feed goes back from ${String(this.#position.sequence)} to ${String(sequence)}`,
      );
    }
    for (const each of revoked) this.#added.push(each);
    this.#position = {
      ...this.#position,
      sequence: Math.max(sequence, this.#position.sequence),
    };
  }

  async #completeSnapshot(
    message: FollowTrustResponse,
    all: readonly RevokedCertificate[],
  ): Promise<void> {
    this.#snapshot = undefined;
    this.#position = {
      epoch: message.epoch,
      sequence: Number(message.feedSequence),
      heardAt: this.#now(),
    };
    // What arrived behind the snapshot holds already and must not be let go.
    await this.#trust.replaceRevocations(this.#position, () => [...all, ...this.#unkept.flat()]);
  }

  async #flush(): Promise<void> {
    const { sequence, epoch, heardAt } = this.#trust.position;
    const isNew = this.#position.sequence > sequence || this.#added.length > 0;
    // That nobody was revoked is worth knowing after a restart as well, if not to the second.
    const heardMs = this.#now().getTime() - (heardAt?.getTime() ?? -Infinity);
    const isStale = epoch !== '' && heardMs >= keepHeardEveryMs;
    if (this.#position.epoch === '' || !(isNew || isStale)) return;
    const added = this.#added;
    this.#added = [];
    this.#position = { ...this.#position, heardAt: this.#now() };
    await this.#trust.advance(this.#position, added);
  }
}

const keepHeardEveryMs = 300_000;
