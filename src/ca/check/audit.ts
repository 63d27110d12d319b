import { toHex } from '../../bytes/bytes.ts';
import { verifyAudit } from '../audit/verify.ts';
import { restoreAction } from '../store/restore.ts';
import type { Row } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import { maxSubjects, type Violation } from './rule.ts';

/** I4, I16 and I18: the audit log is whole, and says each thing that was done once. */
export async function checkAuditLog(queries: Queries): Promise<readonly Violation[]> {
  const verdict = await verifyAudit(queries);
  if (!verdict.ok) {
    return [{ invariant: 'I16', subject: String(verdict.seq), problem: verdict.problem }];
  }
  const said = await readDeeds(queries);
  const violations = new Findings();
  await checkGrants(queries, said, violations);
  await checkBatches(queries, said, violations);
  await checkEpochs(queries, said, violations);
  return violations.all;
}

/** What the log says was done. */
interface Deeds {
  /** How often each request was granted, by hex. */
  readonly grants: Map<string, number>;
  /** How often each certificate was confirmed, by hex of its serial number. */
  readonly confirmations: Map<string, number>;
  /** How many tokens each batch was minted with, by hex. */
  readonly batches: Map<string, number[]>;
  /** Before each restore. */
  readonly epochs: Set<string>;
}

async function readDeeds(queries: Queries): Promise<Deeds> {
  const deeds: Deeds = {
    grants: new Map(),
    confirmations: new Map(),
    batches: new Map(),
    epochs: new Set(),
  };
  for (let after = 0; ;) {
    const rows = await queries
      .selectFrom('audit')
      .select(['seq', 'action', 'subject', 'request', 'details'])
      .where('seq', '>', after)
      .where('outcome', '=', 'done')
      .where('action', 'in', [...grantActions, 'certificate.confirm', 'token.mint', restoreAction])
      .orderBy('seq')
      .limit(pageSize)
      .execute();
    for (const row of rows) note(deeds, row);
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return deeds;
    after = last.seq;
  }
}

function note(
  { grants, confirmations, batches, epochs }: Deeds,
  {
    action,
    subject,
    request,
    details,
  }: Pick<Row<'audit'>, 'action' | 'subject' | 'request' | 'details'>,
): void {
  const count = (deeds: Map<string, number>, key: string): unknown =>
    deeds.set(key, (deeds.get(key) ?? 0) + 1);
  if (action === 'certificate.confirm') count(confirmations, subject);
  else if (action === 'token.mint') {
    const minted = Number(detail(details, 'count') ?? 0);
    batches.set(subject, [...(batches.get(subject) ?? []), minted]);
  } else if (action === restoreAction) {
    epochs.add(String(detail(details, 'previousEpoch')));
  } else count(grants, request);
}

/** Each certificate was granted by one entry, and confirmed by one. */
async function checkGrants(
  queries: Queries,
  { grants, confirmations }: Deeds,
  violations: Findings,
): Promise<void> {
  let granted = 0;
  let after: Uint8Array = new Uint8Array(0);
  for (;;) {
    const rows = await queries
      .selectFrom('certificate')
      .select(['serial', 'request', 'confirmed_at'])
      .where('agent', 'is not', null)
      .where('purpose', '=', 'tls')
      .where('serial', '>', after)
      .orderBy('serial')
      .limit(pageSize)
      .execute();
    for (const { serial, request, confirmed_at: confirmedAt } of rows) {
      const subject = toHex(serial);
      granted += 1;
      if (grants.get(toHex(request)) !== 1) {
        violations.add('I16', subject, 'the certificate was not granted by exactly one entry');
      }
      if ((confirmations.get(subject) ?? 0) !== (confirmedAt === null ? 0 : 1)) {
        violations.add('I16', subject, 'the certificate was not confirmed by exactly one entry');
      }
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) break;
    after = last.serial;
  }
  if (granted !== grants.size) {
    const problem = `${String(grants.size)} grants are in the log, ${String(granted)} certificates in the store`;
    violations.add('I16', 'audit', problem);
  }
}

/** However often an order to mint was repeated, its batch was made once. */
async function checkBatches(
  queries: Queries,
  { batches }: Deeds,
  violations: Findings,
): Promise<void> {
  const rows = await queries
    .selectFrom('token')
    .select(['batch', ({ fn }) => fn.countAll<number>().as('tokens')])
    .where('kind', '=', 'enroll')
    .where('batch', 'is not', null)
    .groupBy('batch')
    .execute();
  for (const { batch, tokens } of rows) {
    const subject = batch === null ? '' : toHex(batch);
    const minted = batches.get(subject) ?? [];
    if (minted.reduce((sum, count) => sum + count, 0) === tokens) continue;
    const problem = `the batch has ${String(tokens)} tokens, the log says ${minted.join(' + ')}`;
    violations.add('I18', subject, problem);
  }
}

/** Serial numbers begin with an epoch that this store had. */
async function checkEpochs(
  queries: Queries,
  { epochs }: Deeds,
  violations: Findings,
): Promise<void> {
  const { value } = await queries
    .selectFrom('meta')
    .select('value')
    .where('name', '=', 'epoch')
    .executeTakeFirstOrThrow();
  const known = [...epochs, value].map((epoch) => new Uint8Array(Buffer.from(epoch, 'hex')));
  let foreign = queries.selectFrom('certificate').select('serial');
  for (const epoch of known) {
    foreign = foreign.where((where) =>
      where.not(where.between('serial', epoch, Uint8Array.from([...epoch, ...lastSerial]))),
    );
  }
  for (const { serial } of await foreign.limit(maxSubjects).execute()) {
    violations.add('I4', toHex(serial), 'the serial number is of no epoch of this store');
  }
}

/** A few of each kind. */
class Findings {
  readonly all: Violation[] = [];
  readonly #counts = new Map<string, number>();

  add(invariant: string, subject: string, problem: string): void {
    const kind = `${invariant} ${problem}`;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    if (count <= maxSubjects) this.all.push({ invariant, subject, problem });
  }
}

function detail(details: string, name: string): unknown {
  const value: unknown = JSON.parse(details);
  return typeof value === 'object' && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
}

const grantActions = ['enroll', 'renew', 'recover'];
const pageSize = 1000;
const lastSerial = new Uint8Array(13).fill(0xff);
