import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { RevocationIndex } from '../revocation/revocation-index.ts';
import { storedSerial } from '../revocation/serial.ts';
import type { PeerIdentity } from '../service/peer-identity.ts';
import type { AgentState } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { FollowingHost } from './follower.ts';

/** A host whose certificate is good for following. */
export interface AdmittedHost {
  readonly host: FollowingHost;
  readonly state: AgentState;
  /** This is the first use of its certificate that we see. */
  readonly isFirstUse: boolean;
}

/**
 * Finds who follows by the serial number of its verified certificate. One that the store does not
 * know is refused although its signature is good: it was issued after the backup that this store was
 * restored from, and who knows to whom.
 *
 * Rejects with `ServiceError` (`PERMISSION_DENIED`): `host_certificate_required`,
 * `certificate_revoked`, and, after asking the store, `certificate_unknown`, `certificate_superseded`.
 */
export async function admitHost(
  peer: PeerIdentity | undefined,
  revocations: RevocationIndex,
  queries: Queries,
): Promise<AdmittedHost> {
  if (peer?.kind !== 'host') {
    throw refused('host_certificate_required', 'only hosts that have enrolled can follow');
  }
  const serial = storedSerial(peer.certificate.serialNumber);
  if (serial !== undefined && revocations.certificate(serial) !== undefined) {
    throw refused('certificate_revoked', 'the certificate is revoked');
  }
  const row = serial && (await findCertificate(queries, serial));
  if (row === undefined || serial === undefined || row.spiffe_id !== peer.spiffeId) {
    throw refused('certificate_unknown', 'the certificate is not known here');
  }
  if (row.revoked_at !== null) throw refused('certificate_revoked', 'the certificate is revoked');
  if (row.certificate_state === 'superseded') {
    throw refused('certificate_superseded', 'the certificate was replaced by one that is in use');
  }
  return {
    host: {
      agent: row.agent,
      spiffeId: row.spiffe_id,
      serial,
      issuer: row.issuer,
      notAfter: row.not_after,
    },
    state: row.agent_state,
    isFirstUse: row.certificate_state === 'issued',
  };
}

/** A serial number as it is shown to people. */
export function describePeerSerial(peer: PeerIdentity | undefined): string {
  return peer === undefined || peer.kind === 'none' ? '' : toHex(peer.certificate.serialNumber);
}

async function findCertificate(queries: Queries, serial: Uint8Array) {
  return await queries
    .selectFrom('certificate')
    .innerJoin('agent', 'agent.id', 'certificate.agent')
    .leftJoin('revocation', (join) =>
      join
        .onRef('revocation.subject', '=', 'certificate.serial')
        .on('revocation.kind', '=', 'certificate'),
    )
    .select([
      'agent.id as agent',
      'agent.spiffe_id',
      'agent.state as agent_state',
      'certificate.state as certificate_state',
      'certificate.issuer',
      'certificate.not_after',
      'revocation.at as revoked_at',
    ])
    .where('certificate.serial', '=', serial)
    .where('certificate.purpose', '=', 'tls')
    .where('certificate.state', 'in', ['issued', 'confirmed', 'superseded'])
    .executeTakeFirst();
}

function refused(reason: string, message: string): ServiceError {
  return new ServiceError('PERMISSION_DENIED', reason, message);
}
