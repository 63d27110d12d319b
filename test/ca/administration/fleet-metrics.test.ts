import { expect } from 'chai';
import { Registry } from 'prom-client';
import { registerFleetMetrics } from '../../../src/ca/administration/fleet-metrics.ts';
import { plantAgent, startAdministeredAuthority } from './administered-authority.ts';

describe('metrics of a fleet', () => {
  it('count agents, those that expired, and how far the slowest is behind', async () => {
    const authority = await startAdministeredAuthority();
    try {
      const registry = new Registry();
      registerFleetMetrics(registry, authority.context);
      const now = Date.now();
      await plantAgent(authority);
      await plantAgent(authority, { state: 'suspended' });
      const { id } = await plantAgent(authority, { notBefore: now - 2000, notAfter: now - 1000 });
      const { value: head } = await authority.context.store.queries
        .selectFrom('counter')
        .select('value')
        .where('name', '=', 'feed')
        .executeTakeFirstOrThrow();
      await authority.context.store.transact(async ({ queries }) => {
        await queries
          .updateTable('agent')
          .set({ feed_ack: head - 1 })
          .where('id', '=', id)
          .execute();
      });
      const text = await registry.metrics();
      expect(text).to.contain('sidekey_authority_agents{state="active"} 2\n');
      expect(text).to.contain('sidekey_authority_agents{state="suspended"} 1\n');
      expect(text).to.contain('sidekey_authority_agents_expired 1\n');
      expect(text).to.contain('sidekey_authority_feed_lag_entries 1\n');
      expect(text).to.match(
        /sidekey_authority_ca_not_after_seconds\{kind="root",number="1",state="signing"\} \d{10}/u,
      );
    } finally {
      await authority.close();
    }
  });
});
