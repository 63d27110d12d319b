import { sql } from 'kysely';
import { toHex } from '../../bytes/bytes.ts';
import type { Caller } from '../context.ts';
import type { Transaction } from '../store/transaction.ts';

/** A certificate generation of an agent that was seen in use. */
export interface SeenGeneration {
  readonly agent: Uint8Array;
  readonly generation: number;
  /** Of the TLS certificate. */
  readonly serial: Uint8Array;
  readonly caller: Caller;
  readonly request?: Uint8Array;
}

/**
 * Notes the first use of certificates: they are confirmed, and those they replace superseded. The
 * agents have to be locked; each at most once, and with a generation that is `issued`.
 */
export async function confirmCertificates(
  transaction: Transaction,
  seen: readonly SeenGeneration[],
): Promise<void> {
  if (seen.length === 0) return;
  const { queries, now } = transaction;
  const generations = new Map(seen.map((one) => [toHex(one.agent), one.generation]));
  const rows = await queries
    .selectFrom('certificate')
    .select(['serial', 'agent', 'agent_generation', 'state'])
    .where(
      'agent',
      'in',
      seen.map(({ agent }) => agent),
    )
    .where('state', 'in', ['issued', 'confirmed'])
    .execute();
  const confirmed: Uint8Array[] = [];
  const superseded: Uint8Array[] = [];
  for (const row of rows) {
    const generation = row.agent === null ? undefined : generations.get(toHex(row.agent));
    if (generation === undefined || row.agent_generation === null) continue;
    if (row.agent_generation < generation) superseded.push(row.serial);
    else if (row.agent_generation === generation && row.state === 'issued') {
      confirmed.push(row.serial);
    }
  }
  await Promise.all([
    ...when(confirmed, (serials) =>
      queries
        .updateTable('certificate')
        .set({ state: 'confirmed', confirmed_at: now })
        .where('serial', 'in', serials)
        .execute(),
    ),
    ...when(superseded, (serials) =>
      queries
        .updateTable('certificate')
        .set({ state: 'superseded' })
        .where('serial', 'in', serials)
        .execute(),
    ),
    noteInUse(transaction, seen),
  ]);
  for (const { serial, generation, caller, request } of seen) {
    transaction.audit({
      actor: caller.name,
      action: 'certificate.confirm',
      subject: toHex(serial),
      outcome: 'done',
      details: { generation, source: caller.source },
      ...(request === undefined ? {} : { request: toHex(request) }),
    });
  }
}

/** What is in use is no longer pending: one statement for all agents. */
async function noteInUse(
  { queries, now }: Transaction,
  seen: readonly SeenGeneration[],
): Promise<void> {
  // PostgreSQL cannot tell the type of a value that only a CASE answers with.
  const serials = sql.join(
    seen.map(({ agent, serial }) => sql`when ${agent} then cast(${serial} as blob)`),
    sql` `,
  );
  const serial = sql<Uint8Array>`case id ${serials} end`;
  await queries
    .updateTable('agent')
    .set({
      current_serial: serial,
      pending_serial: sql`case when pending_serial = ${serial} then null else pending_serial end`,
      last_seen_at: now,
    })
    .where(
      'id',
      'in',
      seen.map(({ agent }) => agent),
    )
    .execute();
}

function when<T>(
  serials: readonly Uint8Array[],
  run: (serials: readonly Uint8Array[]) => T,
): readonly T[] {
  return serials.length === 0 ? [] : [run(serials)];
}
