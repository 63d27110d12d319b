import type { Logger } from 'pino';
import type { EnrolledEntry } from './enrolled-entry.ts';
import type { EnrolledFigures } from './metrics.ts';

export interface FollowerOptions {
  readonly log: Logger;
  /** What was concluded about peers is void. */
  readonly onTrustChanged: () => void;
  /** Session tickets sealed so far are void. */
  readonly onTicketOrder: () => void;
  /** Whatever changed was taken up. */
  readonly onChanged: () => void;
}

/** Takes up what an enrolled identity gets to have, as it comes, and says so. */
export class EnrolledFollower {
  readonly #entry: EnrolledEntry;
  readonly #options: FollowerOptions;
  readonly #stop: () => void;
  #ticketOrder: number | undefined;
  #problem: string | undefined;

  constructor(entry: EnrolledEntry, options: FollowerOptions) {
    this.#entry = entry;
    this.#options = options;
    // Keys of this process are younger than an order it was started with.
    this.#ticketOrder = entry.source.ticketKeysNotBefore?.getTime();
    this.#stop = entry.source.onChange(() => {
      this.#changed();
    });
  }

  close(): void {
    this.#stop();
  }

  #changed(): void {
    const { log, onTrustChanged, onTicketOrder } = this.#options;
    const { name, source, trust } = this.#entry;
    const change = this.#entry.refresh();
    if (change.credential) {
      const notAfter = this.#entry.identity?.leaf.notAfter;
      log.info({ identity: name, notAfter }, 'identity has a new certificate');
    }
    if (change.trust) {
      onTrustChanged();
      const { generation } = trust;
      log.info(
        { identity: name, generation, sequence: source.trust?.sequence },
        'new trust bundle',
      );
    }
    const order = source.ticketKeysNotBefore?.getTime();
    if (order !== this.#ticketOrder) {
      this.#ticketOrder = order;
      onTicketOrder();
      log.info({ identity: name }, 'session tickets sealed so far are void');
    }
    this.#reportProblem();
    this.#options.onChanged();
  }

  /** The same problem is met again and again, but said once. */
  #reportProblem(): void {
    const { name, problem } = this.#entry;
    if (problem === this.#problem) return;
    this.#problem = problem;
    if (problem !== undefined) {
      this.#options.log.warn({ identity: name, detail: problem }, 'identity needs attention');
    }
  }
}

/** What is measured of an entry. */
export function enrolledFigures({ name, source }: EnrolledEntry, now: Date): EnrolledFigures {
  const { trustReceivedAt, bundleSequence, feedSequence, renewals, failedRenewals } = source.status;
  return {
    identity: name,
    trustAgeSeconds:
      trustReceivedAt === undefined
        ? undefined
        : Math.max(0, (now.getTime() - trustReceivedAt.getTime()) / 1000),
    bundleSequence,
    feedSequence,
    revokedCertificates: source.revocations.size,
    renewals,
    failedRenewals,
  };
}
