import { toHex } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { readGenerations } from '../generations/read-generations.ts';
import { type Lease, LeaseLostError, withLease } from '../leases.ts';
import type { Queries } from '../store/transaction.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';
import { type DueStep, dueSteps, type Standing } from './due.ts';
import type { RotationRequest } from './rotation.ts';
import { type StepTools, takeStep } from './take-step.ts';
import { readKeys, takeTokenKeyStep } from './token-keys.ts';

export interface DriverTools extends Omit<StepTools, 'transact'> {
  readonly tokenKeys: TokenKeys;
}

/**
 * The automatic mode: takes the steps that are due and whose gates are open, and says what it waits
 * for. It never forces one. Of several replicas the one with the lease drives; if it is paused beyond
 * its lease and comes back, its writes fail.
 */
export class RotationDriver {
  readonly #tools: DriverTools;
  readonly #leaseMs: number;
  /** What was last said of each step that waits. */
  readonly #waiting = new Map<string, string>();

  constructor(tools: DriverTools) {
    this.#tools = tools;
    this.#leaseMs = Math.max(3 * tools.settings.driverMs, MIN_LEASE_MS);
  }

  /** Looks what is due and does it; answers the steps taken. */
  async tick(): Promise<readonly DueStep[]> {
    const { context, settings } = this.#tools;
    const standing = await readStanding(context.store.queries, context.now().getTime());
    if (dueSteps(standing, settings).length === 0) return [];
    try {
      const taken = await withLease(
        {
          store: context.store,
          name: 'rotation',
          holder: context.replicaId,
          durationMs: this.#leaseMs,
        },
        (lease) => this.#drive(lease),
      );
      return taken ?? [];
    } catch (error) {
      if (!(error instanceof LeaseLostError)) throw error;
      context.log.info({ err: error }, 'another replica drives rotation now');
      return [];
    }
  }

  async #drive(lease: Lease): Promise<readonly DueStep[]> {
    const { context, settings } = this.#tools;
    const taken: DueStep[] = [];
    const tried = new Set<string>();
    for (;;) {
      const standing = await readStanding(context.store.queries, context.now().getTime());
      const next = dueSteps(standing, settings).find((due) => !tried.has(describe(due)));
      if (next === undefined) break;
      tried.add(describe(next));
      if (await this.#attempt(lease, next)) taken.push(next);
    }
    for (const step of this.#waiting.keys()) if (!tried.has(step)) this.#waiting.delete(step);
    return taken;
  }

  /** Takes a step if its gate is open; otherwise says once what it waits for. */
  async #attempt(lease: Lease, due: DueStep): Promise<boolean> {
    const { context } = this.#tools;
    const { kind, step, number } = due;
    const tools = { ...this.#tools, transact: lease.transact.bind(lease) };
    const request: RotationRequest = {
      kind,
      step,
      caller: { name: 'automatic' },
      ...(number === undefined ? {} : { number }),
    };
    try {
      if (kind === 'token') await takeTokenKeyStep(tools, request);
      else await takeStep(tools, { ...request, kind });
      context.log.info({ kind, step, number }, 'rotation step taken');
      this.#waiting.delete(describe(due));
      return true;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (this.#waiting.get(describe(due)) !== error.message) {
        this.#waiting.set(describe(due), error.message);
        context.log.warn(
          { kind, step, number, reason: error.reason, why: error.message },
          'rotation waits',
        );
      }
      return false;
    }
  }
}

async function readStanding(queries: Queries, now: number): Promise<Standing> {
  const since = await queries
    .selectFrom('ca_transition')
    .select((each) => ['generation', each.fn.max<number>('at').as('at')])
    .groupBy('generation')
    .execute();
  const reissued = await queries.selectFrom('campaign').select('issuer').distinct().execute();
  return {
    generations: await readGenerations(queries),
    tokenKeys: await readKeys(queries),
    since: new Map(since.map(({ generation, at }) => [toHex(generation), at])),
    reissued: new Set(reissued.map(({ issuer }) => toHex(issuer))),
    now,
  };
}

function describe({ kind, step, number }: DueStep): string {
  return `${step} ${kind} ${String(number ?? 'next')}`;
}

const MIN_LEASE_MS = 10_000;
