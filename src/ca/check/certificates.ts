import { createHash } from 'node:crypto';
import { equal, toHex } from '../../bytes/bytes.ts';
import { verifySignature } from '../../crypto/signatures.ts';
import { type Certificate, CertificateError, parseCertificate } from '../../pki/index.ts';
import type { Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { Violation } from './rule.ts';

/** I4, I7 and I13: what certificates say is what their rows say, and their issuers have signed it. */
export async function checkCertificates(queries: Queries): Promise<readonly Violation[]> {
  const issuers = await readIssuers(queries);
  const violations: Violation[] = [];
  let after: Uint8Array = new Uint8Array(0);
  for (;;) {
    const rows = await page(queries, after);
    for (const row of rows) violations.push(...checkCertificate(row, issuers));
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return violations;
    after = last.serial;
    // Signatures take a while: others have their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

type CertificateRow = Pick<
  Row<'certificate'>,
  'serial' | 'issuer' | 'not_before' | 'not_after' | 'key_hash' | 'der'
> & { readonly spiffe_id: string | null };

function page(queries: Queries, after: Uint8Array): Promise<readonly CertificateRow[]> {
  return queries
    .selectFrom('certificate')
    .leftJoin('agent', 'agent.id', 'certificate.agent')
    .select([
      'certificate.serial',
      'certificate.issuer',
      'certificate.not_before',
      'certificate.not_after',
      'certificate.key_hash',
      'certificate.der',
      'agent.spiffe_id',
    ])
    .where('certificate.serial', '>', after)
    .where('certificate.der', 'is not', null)
    .orderBy('certificate.serial')
    .limit(pageSize)
    .execute();
}

function checkCertificate(
  row: CertificateRow,
  issuers: ReadonlyMap<string, Certificate>,
): readonly Violation[] {
  const violations: Violation[] = [];
  const broken = (invariant: string, problem: string): void => {
    violations.push({ invariant, subject: toHex(row.serial), problem });
  };
  const certificate = row.der === null ? undefined : parsed(row.der);
  const issuer = issuers.get(toHex(row.issuer));
  if (certificate === undefined || issuer === undefined) {
    broken('I4', 'the certificate, or the one of its CA, cannot be read');
    return violations;
  }
  if (!equal(certificate.serialNumber, row.serial)) {
    broken('I4', 'the certificate has another serial number');
  }
  if (
    certificate.notBefore.getTime() !== row.not_before ||
    certificate.notAfter.getTime() !== row.not_after
  ) {
    broken('I4', 'the certificate is for another time');
  }
  if (!equal(createHash('sha256').update(certificate.publicKeyInfo).digest(), row.key_hash)) {
    broken('I4', 'the certificate is for another key');
  }
  if (!isSignedBy(certificate, issuer)) broken('I10', 'its CA has not signed the certificate');
  if (certificate.notAfter > issuer.notAfter) {
    broken('I13', 'the certificate ends after that of its CA');
  }
  if (row.spiffe_id !== null && !namesOf(certificate).includes(row.spiffe_id)) {
    broken('I7', 'the certificate is not in the name of its agent');
  }
  return violations;
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const { signatureScheme, tbs, signature } = certificate;
  if (signatureScheme === undefined) return false;
  return verifySignature(issuer.publicKey, signatureScheme, tbs, signature);
}

function namesOf({ subjectAltNames }: Certificate): readonly string[] {
  return subjectAltNames.uris;
}

function parsed(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof CertificateError) return undefined;
    throw error;
  }
}

async function readIssuers(queries: Queries): Promise<ReadonlyMap<string, Certificate>> {
  const rows = await queries.selectFrom('ca_generation').select(['id', 'certificate']).execute();
  return new Map(
    rows.flatMap(({ id, certificate }) => {
      const read = parsed(certificate);
      return read === undefined ? [] : [[toHex(id), read] as const];
    }),
  );
}

const pageSize = 200;
