import { sql } from 'kysely';
import { Gauge, type Registry } from 'prom-client';
import type { AuthorityContext } from '../context.ts';

/**
 * What is measured of the fleet and of the authority's keys: read from the store for each scrape, with
 * queries that walk an index.
 */
export function registerFleetMetrics(registry: Registry, context: AuthorityContext): void {
  const { queries } = context.store;
  const registers = [registry];
  const live = sql<boolean>`state in ('enrolled', 'active')`;
  new Gauge({
    name: 'sidekey_authority_agents',
    help: 'Agents by state.',
    labelNames: ['state'],
    registers,
    async collect() {
      const rows = await queries
        .selectFrom('agent')
        .select(['state', sql<number | bigint>`count(*)`.as('count')])
        .groupBy('state')
        .execute();
      this.reset();
      for (const { state, count } of rows) this.set({ state }, Number(count));
    },
  });
  new Gauge({
    name: 'sidekey_authority_agents_expired',
    help: 'Agents whose certificate has ended, and that were neither retired nor revoked.',
    registers,
    async collect() {
      const { count } = await queries
        .selectFrom('agent')
        .select(sql<number | bigint>`count(*)`.as('count'))
        .where('not_after', '<=', context.now().getTime())
        .where(live)
        .executeTakeFirstOrThrow();
      this.set(Number(count));
    },
  });
  new Gauge({
    name: 'sidekey_authority_feed_lag_entries',
    help: 'Feed entries that the last of the hosts heard of within an hour has not acknowledged.',
    registers,
    async collect() {
      const { lag } = await queries
        .selectFrom('agent')
        .select(
          sql<number | null>`(select value from counter where name = 'feed') - min(feed_ack)`.as(
            'lag',
          ),
        )
        .where('last_seen_at', '>=', context.now().getTime() - heardWithinMs)
        .where(live)
        .executeTakeFirstOrThrow();
      this.set(Math.max(0, lag ?? 0));
    },
  });
  new Gauge({
    name: 'sidekey_authority_ca_not_after_seconds',
    help: 'End of validity of each CA that signs or is trusted, in seconds since the epoch.',
    labelNames: ['kind', 'number', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { kind, number, state, certificate } of context.generations.all()) {
        if (!shown.has(state)) continue;
        const seconds = certificate.notAfter.getTime() / 1000;
        this.set({ kind, number: String(number), state }, seconds);
      }
    },
  });
}

const heardWithinMs = 3_600_000;
const shown: ReadonlySet<string> = new Set(['published', 'signing', 'draining', 'tainted']);
