import { parseCertificate } from '../../pki/index.ts';
import type { Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { Generation } from './generation.ts';

/** All generations there ever were, each kind in order of number. */
export async function readGenerations(queries: Queries): Promise<readonly Generation[]> {
  const rows = await queries
    .selectFrom('ca_generation')
    .selectAll()
    .orderBy('kind')
    .orderBy('number')
    .execute();
  return rows.map(generationOf);
}

/** A row as the rest of the authority sees it. Throws for a certificate that is none. */
export function generationOf(row: Row<'ca_generation'>): Generation {
  return {
    id: row.id,
    kind: row.kind,
    number: row.number,
    state: row.state,
    stateVersion: row.state_version,
    publishedIn: row.published_in ?? undefined,
    parent: row.parent ?? undefined,
    certificate: parseCertificate(row.certificate),
    crossCertificate: row.cross_certificate ?? undefined,
    oldWithNew: row.old_with_new ?? undefined,
    keyRef: row.key_ref,
  };
}
