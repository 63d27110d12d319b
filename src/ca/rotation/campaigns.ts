import { toHex } from '../../bytes/bytes.ts';
import type { AuthorityContext } from '../context.ts';
import type { Queries, Transaction } from '../store/transaction.ts';
import { type CampaignWindow, slotOf, windowFor } from './campaign-window.ts';
import { liveCertificates } from './count-hosts.ts';
import { describeGeneration, type Planned } from './plan.ts';
import type { CampaignStatus } from './rotation.ts';
import type { RotationSettings } from './settings.ts';

/**
 * Begins the reissue of everything below a CA; one that is under way for it is replaced. Hosts that
 * follow the feed are told their slot, those that do not renew as they always do.
 */
export async function startCampaign(
  transaction: Transaction,
  settings: RotationSettings,
  options: {
    readonly id: Uint8Array;
    readonly issuer: Planned;
    readonly windowMs: number | undefined;
    readonly why: string;
    readonly by: string;
  },
): Promise<void> {
  const { queries, now } = transaction;
  const { id, issuer } = options;
  const below = liveCertificates(queries, now, await issuingBelow(queries, issuer.id));
  const { hosts, first } = await below
    .select((each) => [
      each.fn.count<number>('certificate.agent').distinct().as('hosts'),
      each.fn.min<number | null>('certificate.not_after').as('first'),
    ])
    .executeTakeFirstOrThrow();
  const windowMs =
    options.windowMs ??
    windowFor({
      hosts,
      perSecond: settings.reissuesPerSecond(),
      minMs: settings.minWindowMs,
      leftMs: (first ?? now) - now,
    });
  await finishCampaigns(queries, [issuer.id], now);
  await queries
    .insertInto('campaign')
    .values({
      id,
      issuer: issuer.id,
      started_at: now,
      window_ms: windowMs,
      total: hosts,
      why: options.why,
    })
    .execute();
  await transaction.publish({
    type: 'campaign',
    subject: id,
    payload: { issuer: toHex(issuer.id), window_ms: windowMs },
  });
  transaction.audit({
    actor: options.by,
    action: 'rotation.reissue',
    subject: describeGeneration(issuer),
    outcome: 'done',
    details: { campaign: toHex(id), window_ms: windowMs, hosts, why: options.why },
  });
}

/** Ends the campaigns about some CAs. Hosts need not hear of it: they have renewed, or will. */
export async function finishCampaigns(
  queries: Queries,
  issuers: readonly Uint8Array[],
  now: number,
): Promise<void> {
  await queries
    .updateTable('campaign')
    .set({ finished_at: now })
    .where('issuer', 'in', issuers)
    .where('finished_at', 'is', null)
    .execute();
}

/** The newest campaigns with what they have come to. */
export async function readCampaigns(
  queries: Queries,
  now: number,
): Promise<readonly CampaignStatus[]> {
  const rows = await queries
    .selectFrom('campaign')
    .selectAll()
    .orderBy('started_at', 'desc')
    .limit(10)
    .execute();
  const campaigns: CampaignStatus[] = [];
  for (const row of rows) {
    const left = row.finished_at === null ? await hostsBelow(queries, row.issuer, now) : 0;
    campaigns.push({
      id: row.id,
      issuer: row.issuer,
      startedAt: new Date(row.started_at),
      windowMs: row.window_ms,
      total: row.total,
      done: Math.max(0, row.total - left),
      finishedAt: row.finished_at === null ? undefined : new Date(row.finished_at),
    });
  }
  return campaigns;
}

/** Hosts with certificates in use below a CA. */
export async function hostsBelow(
  queries: Queries,
  issuer: Uint8Array,
  now: number,
): Promise<number> {
  const { hosts } = await liveCertificates(queries, now, await issuingBelow(queries, issuer))
    .select((each) => each.fn.count<number>('certificate.agent').distinct().as('hosts'))
    .executeTakeFirstOrThrow();
  return hosts;
}

/** Ids of the CAs whose certificates chain to a CA: itself, and what it certified. */
export async function issuingBelow(
  queries: Queries,
  id: Uint8Array,
): Promise<readonly Uint8Array[]> {
  const rows = await queries
    .selectFrom('ca_generation')
    .where((each) => each.or([each('id', '=', id), each('parent', '=', id)]))
    .select('id')
    .execute();
  return rows.map((row) => row.id);
}

/** The campaigns under way, in memory: every follower of the feed is told its slot from here. */
export class CampaignSlots {
  readonly #context: Pick<AuthorityContext, 'store'>;
  #byIssuer: ReadonlyMap<string, CampaignWindow> = new Map();

  constructor(context: Pick<AuthorityContext, 'store'>) {
    this.#context = context;
  }

  /** Reads them anew; answers whether any has changed. */
  async refresh(): Promise<boolean> {
    const { queries } = this.#context.store;
    const rows = await queries
      .selectFrom('campaign')
      .where('finished_at', 'is', null)
      .select(['id', 'issuer', 'started_at', 'window_ms'])
      .orderBy('started_at')
      .execute();
    const byIssuer = new Map<string, CampaignWindow>();
    for (const { id, issuer, started_at, window_ms } of rows) {
      const campaign = { id, startedAt: started_at, windowMs: window_ms };
      for (const below of await issuingBelow(queries, issuer)) byIssuer.set(toHex(below), campaign);
    }
    const changed = describe(byIssuer) !== describe(this.#byIssuer);
    this.#byIssuer = byIssuer;
    return changed;
  }

  slot(agent: Uint8Array, issuer: Uint8Array): Date | undefined {
    const campaign = this.#byIssuer.get(toHex(issuer));
    return campaign && slotOf(campaign, agent);
  }
}

function describe(campaigns: ReadonlyMap<string, CampaignWindow>): string {
  return [...campaigns].map(([issuer, { id }]) => `${issuer}:${toHex(id)}`).join();
}
