import { equal } from '../../bytes/bytes.ts';
import type { OcspCertificateStatus } from '../../pki/index.ts';
import type { Generation } from '../generations/generation.ts';
import type { Queries } from '../store/transaction.ts';
import { storedReason } from './order.ts';
import type { RevocationIndex } from './revocation-index.ts';
import { storedSerial } from './serial.ts';

/**
 * What is to be said of a certificate of `issuer`. A serial number that it has not given out is
 * unknown, also one that was given out after the backup this store comes from.
 */
export async function certificateStatus(
  sources: {
    readonly queries: Queries;
    readonly revocations: RevocationIndex;
    readonly generations: readonly Generation[];
  },
  issuer: Generation,
  serialNumber: Uint8Array,
): Promise<OcspCertificateStatus> {
  const serial = storedSerial(serialNumber);
  if (serial === undefined) return unknown;
  if (issuer.kind === 'root') return caStatus(sources.generations, issuer, serialNumber);
  const { queries, revocations } = sources;
  const row = await queries
    .selectFrom('certificate')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select(['certificate.issuer', 'certificate.state', 'revocation.at', 'revocation.reason'])
    .where('certificate.serial', '=', serial)
    .executeTakeFirst();
  if (row === undefined || !equal(row.issuer, issuer.id)) return unknown;
  const known = revocations.certificate(serial);
  if (known !== undefined) return revoked(known.at, known.reason);
  if (row.at !== null && row.reason !== null) return revoked(row.at, row.reason);
  // One that was reserved was not given out; when it is let go it is revoked.
  return row.state === 'reserved' || row.state === 'void' ? unknown : good;
}

/** Of an issuing CA: revoked when tainted, from when on its certificates are replaced. */
function caStatus(
  generations: readonly Generation[],
  root: Generation,
  serialNumber: Uint8Array,
): OcspCertificateStatus {
  const ca = generations.find(
    ({ parent, certificate }) =>
      parent !== undefined &&
      equal(parent, root.id) &&
      equal(certificate.serialNumber, serialNumber),
  );
  if (ca === undefined) return unknown;
  if (ca.state !== 'tainted') return good;
  return revoked(ca.certificate.notBefore.getTime(), 'cACompromise');
}

function revoked(at: number, reason: string): OcspCertificateStatus {
  return { tag: 'revoked', revokedAt: new Date(at), reason: storedReason(reason) };
}

const good: OcspCertificateStatus = { tag: 'good' };
const unknown: OcspCertificateStatus = { tag: 'unknown' };
