import { toHex } from '../../bytes/bytes.ts';
import type { Caller } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import type { Row } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import type { Operation, Outcome } from '../write/operation.ts';
import { mayAsk } from './agent-rules.ts';
import { lockAgents, type LockedAgent } from './agent-rows.ts';
import { confirmCertificates, type SeenGeneration } from './confirm-certificates.ts';
import { refuse, type RefusalReason } from './refusal.ts';
import { distinct } from './token-rows.ts';

/** A certificate whose key has signed for it. */
export interface ConfirmItem {
  readonly serial: Uint8Array;
  readonly caller: Caller;
  readonly request: Uint8Array;
}

/** Takes note that hosts use their new certificates. Done before, it is done. */
export const confirmOperation: Operation<ConfirmItem, undefined> = {
  name: 'confirm',
  priority: 'renew',
  apply: confirm,
};

async function confirm(
  transaction: Transaction,
  items: readonly ConfirmItem[],
): Promise<readonly Outcome<undefined>[]> {
  const { queries } = transaction;
  const certificates = await queries
    .selectFrom('certificate')
    .select(['serial', 'agent', 'agent_generation', 'purpose', 'state'])
    .where('serial', 'in', distinct(items.map(({ serial }) => serial)))
    .execute();
  const bySerial = new Map(certificates.map((row) => [toHex(row.serial), row]));
  const agents = await lockAgents(
    transaction,
    certificates.flatMap(({ agent }) => (agent === null ? [] : [agent])),
  );
  crashPoint('confirm.after_check');
  // The newest generation of each agent: it supersedes the others of the batch as well.
  const seen = new Map<string, SeenGeneration>();
  const refusals = items.map((item): RefusalReason | undefined => {
    const row = bySerial.get(toHex(item.serial));
    const agent = row?.agent ? agents.get(toHex(row.agent)) : undefined;
    const reason = refusalOf(row, agent);
    if (reason !== undefined || row?.state !== 'issued') return reason;
    if (agent === undefined || row.agent_generation === null) return 'certificate_unknown';
    const generation = row.agent_generation;
    const id = toHex(agent.id);
    if ((seen.get(id)?.generation ?? 0) < generation) {
      seen.set(id, { ...item, agent: agent.id, generation });
    }
    return undefined;
  });
  await confirmCertificates(transaction, [...seen.values()]);
  crashPoint('confirm.after_update');
  return items.map((item, index) => {
    const reason = refusals[index];
    if (reason === undefined) return { ok: true, value: undefined };
    const { serial: subject, caller, request } = item;
    return refuse(transaction, { action: 'certificate.confirm', subject, reason, caller, request });
  });
}

function refusalOf(
  row: Pick<Row<'certificate'>, 'purpose' | 'state'> | undefined,
  agent: LockedAgent | undefined,
): RefusalReason | undefined {
  if (row?.purpose !== 'tls' || agent === undefined) return 'certificate_unknown';
  if (row.state !== 'issued' && row.state !== 'confirmed') return 'certificate_superseded';
  return mayAsk(agent.state) ? undefined : 'agent_state';
}
