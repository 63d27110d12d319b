import { toHex } from '../../bytes/bytes.ts';
import type { RevocationReason } from '../../pki/crl.ts';
import type { Queries } from '../store/transaction.ts';
import { storedReason } from './order.ts';

/** A revocation that still matters. */
export interface LivingRevocation {
  /** Serial number, 16 bytes, or id of an agent. */
  readonly subject: Uint8Array;
  /** Present: of an agent, and so of all its certificates. */
  readonly spiffeId: string | undefined;
  readonly reason: RevocationReason;
  /** ms. */
  readonly at: number;
  readonly notAfter: number;
  readonly feedSequence: number;
}

/**
 * What is revoked and not yet expired, in memory: for answers that must not cost a query. Whoever
 * follows the feed keeps it up to date. About 300 bytes each.
 */
export class RevocationIndex {
  readonly #certificates = new Map<string, LivingRevocation>();
  readonly #agents = new Map<string, LivingRevocation>();
  /** Certificates of these are revoked with their agents. */
  readonly #agentSequences = new Set<number>();

  /** Reads everything up to a feed entry that matters at a moment. */
  async load(queries: Queries, to: number, now: number): Promise<void> {
    for (let after = 0; after < to; after += page) {
      await this.#read(queries, now - keepExpiredMs, after, Math.min(after + page, to));
    }
  }

  /** Reads what the feed entries in `after < number <= to` revoked. */
  async advance(queries: Queries, after: number, to: number): Promise<void> {
    await this.#read(queries, 0, after, to);
  }

  get size(): number {
    return this.#certificates.size + this.#agents.size;
  }

  /** @param serial as the store has it, see `storedSerial` */
  certificate(serial: Uint8Array): LivingRevocation | undefined {
    return this.#certificates.get(toHex(serial));
  }

  /** @param id of an agent */
  agent(id: Uint8Array): LivingRevocation | undefined {
    return this.#agents.get(toHex(id));
  }

  /** Everything a host has to know; a certificate that is revoked with its agent goes without saying. */
  *living(now: number): Generator<LivingRevocation> {
    for (const revocation of this.#agents.values()) {
      if (revocation.notAfter > now) yield revocation;
    }
    for (const revocation of this.#certificates.values()) {
      if (revocation.notAfter > now && !this.#agentSequences.has(revocation.feedSequence)) {
        yield revocation;
      }
    }
  }

  /** Lets go of what has expired. */
  prune(now: number): void {
    for (const [key, { notAfter }] of this.#certificates) {
      if (notAfter <= now - keepExpiredMs) this.#certificates.delete(key);
    }
    for (const [key, { notAfter, feedSequence }] of this.#agents) {
      if (notAfter > now - keepExpiredMs) continue;
      this.#agents.delete(key);
      this.#agentSequences.delete(feedSequence);
    }
  }

  async #read(queries: Queries, notBefore: number, after: number, to: number): Promise<void> {
    const rows = await queries
      .selectFrom('revocation')
      .leftJoin('agent', (join) =>
        join.onRef('agent.id', '=', 'revocation.subject').on('revocation.kind', '=', 'agent'),
      )
      .select([
        'revocation.kind',
        'revocation.subject',
        'revocation.reason',
        'revocation.at',
        'revocation.not_after',
        'revocation.feed_seq',
        'agent.spiffe_id',
      ])
      .where('revocation.feed_seq', '>', after)
      .where('revocation.feed_seq', '<=', to)
      .where('revocation.not_after', '>', notBefore)
      .execute();
    // Others than certificates and agents are in no feed entry. SQLite must not be asked for kinds: it
    // would take that for the narrower condition, and read everything each time.
    for (const row of rows) {
      const revocation: LivingRevocation = {
        subject: row.subject,
        spiffeId: row.spiffe_id ?? undefined,
        reason: storedReason(row.reason),
        at: row.at,
        notAfter: row.not_after ?? row.at,
        feedSequence: row.feed_seq,
      };
      if (row.kind === 'agent') {
        this.#agents.set(toHex(row.subject), revocation);
        this.#agentSequences.add(row.feed_seq);
      } else {
        this.#certificates.set(toHex(row.subject), revocation);
      }
    }
  }
}

/** A certificate is asked about for a while after its end, by clocks that are behind. */
const keepExpiredMs = 3_600_000;
/** Feed entries of which the revocations are read at a time. */
const page = 5000;
