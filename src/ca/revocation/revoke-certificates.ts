import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { insertRows } from '../store/insert-rows.ts';
import type { NewRow } from '../store/schema.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import type { Outcome } from '../write/operation.ts';
import {
  addResults,
  chunks,
  nothingRevoked,
  orderDetails,
  type RevocationOrder,
  type RevocationResult,
} from './order.ts';

/** One certificate to be revoked. */
export interface CertificateToRevoke {
  readonly serial: Uint8Array;
  readonly order: RevocationOrder;
}

/**
 * Revokes certificates, also expired ones, and tells the feed: an insert each, whatever was revoked
 * before. One that is revoked already stays as it is.
 *
 * Rejects with `ServiceError` (`NOT_FOUND`, `certificate_unknown`) if any is unknown.
 */
export async function revokeCertificates(
  transaction: Transaction,
  serials: readonly Uint8Array[],
  order: RevocationOrder,
): Promise<RevocationResult> {
  const items = serials.map((serial) => ({ serial, order }));
  let result = nothingRevoked;
  for (const outcome of await revokeEachCertificate(transaction, items)) {
    if (!outcome.ok) throw outcome.error;
    result = addResults(result, outcome.value);
  }
  return result;
}

/** As {@link revokeCertificates}, with an answer for each, in order; unknown ones are audited as refused. */
export async function revokeEachCertificate(
  transaction: Transaction,
  items: readonly CertificateToRevoke[],
): Promise<readonly Outcome<RevocationResult>[]> {
  const outcomes: Outcome<RevocationResult>[] = [];
  for (const piece of chunks(items)) {
    outcomes.push(...(await revokePiece(transaction, piece)));
  }
  return outcomes;
}

async function revokePiece(
  transaction: Transaction,
  items: readonly CertificateToRevoke[],
): Promise<readonly Outcome<RevocationResult>[]> {
  const known = await knownCertificates(
    transaction.queries,
    items.map(({ serial }) => serial),
  );
  const rows: NewRow<'revocation'>[] = [];
  const outcomes: Outcome<RevocationResult>[] = [];
  for (const item of items) {
    const key = toHex(item.serial);
    const certificate = known.get(key);
    if (certificate === undefined) {
      outcomes.push(refuseUnknown(transaction, item, key));
    } else if (certificate.isRevoked) {
      outcomes.push({ ok: true, value: nothingRevoked });
    } else {
      const row = await revokeOne(transaction, item, certificate);
      // The same one may be asked for twice in a batch.
      known.set(key, { ...certificate, isRevoked: true });
      rows.push(row);
      const value = { ...nothingRevoked, certificates: 1, feedSequence: row.feed_seq };
      outcomes.push({ ok: true, value });
    }
  }
  await insertRows(transaction, 'revocation', rows);
  return outcomes;
}

async function revokeOne(
  transaction: Transaction,
  { serial, order }: CertificateToRevoke,
  { issuer, notAfter }: KnownCertificate,
): Promise<NewRow<'revocation'>> {
  const { reason, by } = order;
  const feedSeq = await transaction.publish({
    type: 'certificate_revoked',
    subject: serial,
    payload: { reason, notAfter },
  });
  transaction.audit({
    actor: by,
    action: 'certificate.revoke',
    subject: toHex(serial),
    outcome: 'done',
    details: orderDetails(order),
    ...(order.request === undefined ? {} : { request: order.request }),
  });
  return {
    kind: 'certificate',
    subject: serial,
    reason,
    at: transaction.now,
    by,
    feed_seq: feedSeq,
    issuer,
    not_after: notAfter,
  };
}

function refuseUnknown(
  transaction: Transaction,
  { order }: CertificateToRevoke,
  serial: string,
): Outcome<RevocationResult> {
  transaction.audit({
    actor: order.by,
    action: 'certificate.revoke',
    subject: serial,
    outcome: 'refused',
    details: { ...orderDetails(order), why: 'unknown' },
    ...(order.request === undefined ? {} : { request: order.request }),
  });
  const message = `no certificate has the serial number ${serial}`;
  return { ok: false, error: new ServiceError('NOT_FOUND', 'certificate_unknown', message) };
}

interface KnownCertificate {
  readonly issuer: Uint8Array;
  readonly notAfter: number;
  readonly isRevoked: boolean;
}

async function knownCertificates(
  queries: Queries,
  serials: readonly Uint8Array[],
): Promise<Map<string, KnownCertificate>> {
  const rows = await queries
    .selectFrom('certificate')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select([
      'certificate.serial',
      'certificate.issuer',
      'certificate.not_after',
      'revocation.feed_seq',
    ])
    .where('certificate.serial', 'in', serials)
    .execute();
  return new Map(
    rows.map((row) => [
      toHex(row.serial),
      { issuer: row.issuer, notAfter: row.not_after, isRevoked: row.feed_seq !== null },
    ]),
  );
}
