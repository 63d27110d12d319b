import type { Transaction } from '../store/transaction.ts';
import type { Outcome } from './operation.ts';
import type { Waiting } from './priority-queue.ts';

/**
 * Applies a batch in a transaction: each operation once, to all of its items, in the order in which
 * the operations first appear. Answers what tells those who wait, to be called once it is durable.
 */
export async function runBatch(
  transaction: Transaction,
  batch: readonly Waiting[],
): Promise<() => void> {
  const groups = new Map<Waiting['operation'], Waiting[]>();
  for (const waiting of batch) {
    const group = groups.get(waiting.operation);
    if (group === undefined) groups.set(waiting.operation, [waiting]);
    else group.push(waiting);
  }
  const done: { readonly waiting: Waiting; readonly outcome: Outcome<unknown> }[] = [];
  for (const [operation, group] of groups) {
    const outcomes = await operation.apply(
      transaction,
      group.map(({ item }) => item),
    );
    for (const [index, waiting] of group.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined) {
        throw new Error(
          `${operation.name} answered ${String(outcomes.length)} of ${String(group.length)}`,
        );
      }
      done.push({ waiting, outcome });
    }
  }
  return () => {
    for (const { waiting, outcome } of done) {
      if (outcome.ok) waiting.resolve(outcome.value);
      else waiting.reject(outcome.error);
    }
  };
}
