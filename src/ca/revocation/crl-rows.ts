import { sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import { CrlEntries } from '../../pki/index.ts';
import { type Certificate, parseCertificate } from '../../pki/certificate.ts';
import type { Queries } from '../store/transaction.ts';
import { storedReason } from './order.ts';
import { storedSerial } from './serial.ts';

/** A published CRL, without its bytes. */
export interface CrlRecord {
  readonly number: number;
  /** Of a delta: number of the complete CRL it adds to. */
  readonly baseNumber: number | undefined;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Every revocation up to here is in it. */
  readonly feedSequence: number;
}

/** The newest CRLs of an issuer. */
export interface IssuerCrls {
  /** Complete, newest first: the newest and the one before. */
  readonly complete: readonly CrlRecord[];
  readonly delta: CrlRecord | undefined;
}

export async function readCrls(queries: Queries, issuer: Uint8Array): Promise<IssuerCrls> {
  const newest = (kind: 'is' | 'is not', limit: number) =>
    queries
      .selectFrom('crl')
      .select(['number', 'base_number', 'this_update', 'next_update', 'feed_seq'])
      .where('issuer', '=', issuer)
      .where('base_number', kind, null)
      .orderBy('number', 'desc')
      .limit(limit)
      .execute();
  const [complete, [delta]] = await Promise.all([newest('is', 2), newest('is not', 1)]);
  return { complete: complete.map(crlRecord), delta: delta && crlRecord(delta) };
}

/** DER of one. */
export async function readCrlDer(
  queries: Queries,
  issuer: Uint8Array,
  number: number,
): Promise<Uint8Array | undefined> {
  const row = await queries
    .selectFrom('crl')
    .select('der')
    .where('issuer', '=', issuer)
    .where('number', '=', number)
    .executeTakeFirst();
  return row?.der;
}

export function crlCounter(issuer: Uint8Array): string {
  return `crl/${toHex(issuer)}`;
}

/** Whether anything of an issuer was revoked in `after < feed number`. */
export async function hasRevocationsAfter(
  queries: Queries,
  issuer: Uint8Array,
  after: number,
): Promise<boolean> {
  const row = await queries
    .selectFrom('revocation')
    .select('feed_seq')
    .where('feed_seq', '>', after)
    .where('issuer', '=', issuer)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/**
 * Entries for a complete CRL: everything revoked up to feed entry `to` that has not ended before
 * `since`, or was revoked in `sinceFeed < number`, so that each is on a CRL at least once after its
 * end (RFC 5280 §3.3).
 */
export async function collectAll(
  queries: Queries,
  issuer: Uint8Array,
  range: { readonly to: number; readonly since: number; readonly sinceFeed: number },
): Promise<CrlEntries> {
  const entries = new CrlEntries();
  let after: { readonly end: number; readonly subject: Uint8Array } | undefined;
  for (;;) {
    const rows = await queries
      .selectFrom('revocation')
      .select(['subject', 'reason', 'at', 'not_after', 'feed_seq'])
      .where('issuer', '=', issuer)
      .where(
        after === undefined
          ? sql<boolean>`not_after >= ${range.since}`
          : sql<boolean>`(not_after, subject) > (${after.end}, ${after.subject})`,
      )
      .orderBy('not_after')
      .orderBy('subject')
      .limit(page)
      .execute();
    for (const row of rows) if (row.feed_seq <= range.to) addEntry(entries, row);
    const last = rows.at(-1);
    if (last === undefined || rows.length < page) break;
    after = { end: last.not_after ?? 0, subject: last.subject };
    await nextTurn();
  }
  const late = await queries
    .selectFrom('revocation')
    .select(['subject', 'reason', 'at'])
    .where('issuer', '=', issuer)
    .where('feed_seq', '>', range.sinceFeed)
    .where('feed_seq', '<=', range.to)
    .where('not_after', '<', range.since)
    .execute();
  for (const row of late) addEntry(entries, row);
  return entries;
}

/** Entries for a delta: everything revoked in `after < feed number <= to`. */
export async function collectSince(
  queries: Queries,
  issuer: Uint8Array,
  after: number,
  to: number,
): Promise<CrlEntries> {
  const entries = new CrlEntries();
  for (let from = after; from < to; from += page) {
    const rows = await queries
      .selectFrom('revocation')
      .select(['subject', 'reason', 'at'])
      .where('issuer', '=', issuer)
      .where('feed_seq', '>', from)
      .where('feed_seq', '<=', Math.min(from + page, to))
      .execute();
    for (const row of rows) addEntry(entries, row);
    if (rows.length > 0) await nextTurn();
  }
  return entries;
}

/**
 * Entries for the CRL of a root: its issuing CAs that were tainted, which is how a CA is revoked here.
 */
export async function collectTainted(queries: Queries, root: Uint8Array): Promise<CrlEntries> {
  const rows = await queries
    .selectFrom('ca_generation')
    .innerJoin('ca_transition', 'ca_transition.generation', 'ca_generation.id')
    .select(['ca_generation.certificate', 'ca_transition.at'])
    .where('ca_generation.parent', '=', root)
    .where('ca_transition.to_state', '=', 'tainted')
    .execute();
  const entries = new CrlEntries();
  for (const { certificate, at } of rows) {
    const serialNumber = serialOf(parseCertificate(certificate));
    entries.add({ serialNumber, revokedAt: new Date(at), reason: 'cACompromise' });
  }
  return entries;
}

function serialOf({ serialNumber }: Certificate): Uint8Array {
  return storedSerial(serialNumber) ?? serialNumber;
}

function addEntry(
  entries: CrlEntries,
  row: { readonly subject: Uint8Array; readonly reason: string; readonly at: number },
): void {
  entries.add({
    serialNumber: row.subject,
    revokedAt: new Date(row.at),
    reason: storedReason(row.reason),
  });
}

function crlRecord(row: {
  readonly number: number;
  readonly base_number: number | null;
  readonly this_update: number;
  readonly next_update: number;
  readonly feed_seq: number;
}): CrlRecord {
  return {
    number: row.number,
    baseNumber: row.base_number ?? undefined,
    thisUpdate: row.this_update,
    nextUpdate: row.next_update,
    feedSequence: row.feed_seq,
  };
}

/** Lets other work have its turn: some stores answer without leaving this thread. */
async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const page = 2000;
