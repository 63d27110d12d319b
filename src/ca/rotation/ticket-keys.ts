import { ServiceError } from '../../rpc/errors.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import type { RotationGeneration, RotationRequest } from './rotation.ts';

/**
 * Orders all sidecars to seal session tickets with new keys and to take none sealed before. The only
 * step of kind `ticket` is `activate`: the keys are made by each sidecar and known to nobody else.
 */
export async function orderTicketKeys(
  transaction: Transaction,
  { step, caller, force }: RotationRequest,
): Promise<RotationGeneration> {
  if (step !== 'activate') {
    const message = 'ticket keys live in sidecars: all there is to do is to activate new ones';
    throw new ServiceError('FAILED_PRECONDITION', 'wrong_state', message);
  }
  const { queries, now } = transaction;
  await queries
    .insertInto('meta')
    .values({ name: META_NAME, value: String(now) })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: String(now) }))
    .execute();
  const number = await transaction.next('ticket_keys');
  await transaction.publish({
    type: 'ticket_keys',
    subject: new Uint8Array(0),
    payload: { not_before: now },
  });
  transaction.audit({
    actor: caller.name,
    action: 'rotation.activate',
    subject: `ticket ${String(number)}`,
    outcome: 'done',
    details: { not_before: now, ...(force === undefined ? {} : { why: force.reason }) },
  });
  return describe(number, now);
}

/** The last order; `undefined`: there was none. */
export async function readTicketKeyOrder(
  queries: Queries,
): Promise<RotationGeneration | undefined> {
  const order = await queries
    .selectFrom('meta')
    .select('value')
    .where('name', '=', META_NAME)
    .executeTakeFirst();
  const counter = await queries
    .selectFrom('counter')
    .select('value')
    .where('name', '=', 'ticket_keys')
    .executeTakeFirst();
  return order && describe(counter?.value ?? 1, Number(order.value));
}

function describe(number: number, at: number): RotationGeneration {
  return {
    id: new Uint8Array(0),
    kind: 'ticket',
    number,
    state: 'signing',
    notBefore: new Date(at),
    notAfter: undefined,
    certificate: new Uint8Array(0),
    live: 0,
  };
}

const META_NAME = 'ticket_keys_not_before';
