import { sql } from 'kysely';
import type {
  CertificateRecord,
  ListCertificatesRequest,
  ListCertificatesResponse,
} from '../../gen/sidekey/v1/administration.ts';
import type { Queries } from '../store/transaction.ts';
import { behindPage, cutPage, pageSize } from './pages.ts';
import { oneOf } from './search.ts';
import { bytes, moment } from './wire.ts';

/**
 * Certificates, those that end last first. The certificate itself is in the answer when one is asked
 * for by its serial number.
 *
 * @throws ServiceError `INVALID_ARGUMENT`
 */
export async function listCertificates(
  queries: Queries,
  request: ListCertificatesRequest,
  now: Date,
): Promise<ListCertificatesResponse> {
  const size = pageSize(request.pageSize);
  const state = oneOf('state', request.state, certificateStates);
  const at = now.getTime();
  const bySerial = request.serial.length > 0;
  let query = queries
    .selectFrom('certificate')
    .leftJoin('agent', 'agent.id', 'certificate.agent')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select([
      'certificate.serial',
      'certificate.issuer',
      'certificate.agent',
      'agent.spiffe_id',
      'certificate.purpose',
      'certificate.state',
      'certificate.not_before',
      'certificate.not_after',
      'revocation.at as revoked_at',
      'revocation.reason as revoked_why',
      'certificate.token',
      'certificate.policy',
      'certificate.policy_version',
    ])
    .$if(bySerial, (one) => one.select('certificate.der'))
    .where(behindPage(request.pageToken, { at: 'certificate.not_after', id: 'certificate.serial' }))
    .orderBy('certificate.not_after', 'desc')
    .orderBy('certificate.serial', 'desc')
    .limit(size + 1);
  if (bySerial) query = query.where('certificate.serial', '=', request.serial);
  if (request.agentId.length > 0) query = query.where('certificate.agent', '=', request.agentId);
  if (request.endsBefore !== undefined) {
    query = query.where('certificate.not_after', '<', request.endsBefore.getTime());
  }
  switch (state) {
    case undefined:
      break;
    case 'revoked':
      query = query.where('revocation.at', 'is not', null);
      break;
    case 'expired':
      query = query.where('revocation.at', 'is', null).where('certificate.not_after', '<=', at);
      break;
    case 'reserved':
    case 'void':
      query = query.where('certificate.state', '=', state);
      break;
    default:
      query = query
        .where('revocation.at', 'is', null)
        .where('certificate.not_after', '>', at)
        .where('certificate.state', '=', state);
  }
  const page = cutPage(await query.execute(), size, (row) => ({
    at: row.not_after,
    id: row.serial,
  }));
  return {
    certificates: page.items.map((row): CertificateRecord => ({
      serial: bytes(row.serial),
      issuer: bytes(row.issuer),
      agentId: bytes(row.agent),
      spiffeId: row.spiffe_id ?? '',
      purpose: row.purpose,
      state: shownState(row.state, row.revoked_at !== null, row.not_after <= at),
      notBefore: moment(row.not_before),
      notAfter: moment(row.not_after),
      revokedAt: moment(row.revoked_at),
      revokedWhy: row.revoked_why ?? '',
      tokenId: bytes(row.token),
      policy: row.policy === null ? '' : `${row.policy}/${String(row.policy_version)}`,
      der: bytes(row.der),
    })),
    nextPageToken: page.nextPageToken,
  };
}

/** Certificates that peers accept now: how many, and how many are revoked before their end. */
export async function countCertificates(
  queries: Queries,
  now: Date,
): Promise<{ readonly live: number; readonly revoked: number }> {
  const at = now.getTime();
  const counted = await queries
    .selectFrom('certificate')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select([
      sql<number | bigint>`count(*)`.as('all'),
      sql<number | bigint>`count(revocation.at)`.as('revoked'),
    ])
    .where('certificate.not_after', '>', at)
    .where('certificate.agent', 'is not', null)
    .where('certificate.state', 'in', ['issued', 'confirmed', 'superseded'])
    .executeTakeFirstOrThrow();
  const revoked = Number(counted.revoked);
  return { live: Number(counted.all) - revoked, revoked };
}

function shownState(state: string, revoked: boolean, expired: boolean): string {
  if (revoked) return 'revoked';
  if (state === 'reserved' || state === 'void') return state;
  return expired ? 'expired' : state;
}

const certificateStates = [
  'issued',
  'confirmed',
  'superseded',
  'revoked',
  'expired',
  'reserved',
  'void',
] as const;
