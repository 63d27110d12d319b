import { expect } from 'chai';
import { Registry } from 'prom-client';
import { registerFleetMetrics } from '../../../src/ca/administration/index.ts';
import {
  AdministrationServiceService as Administration,
  GetTlsPolicyRequest,
  ListAgentsRequest,
  ListAuditRequest,
  ListCertificatesRequest,
  ListTokensRequest,
  RevokeRequest,
  RevokeTokensRequest,
  SetTlsPolicyRequest,
} from '../../../src/gen/sidekey/v1/administration.ts';
import { postgresPlace } from '../support/stores.ts';
import { plantAgent, plantToken, startAdministeredAuthority } from './administered-authority.ts';
import { clientOf, reasonOf } from './calls.ts';
import { skip } from '../../support/skip.ts';

describe('administration service on PostgreSQL', function () {
  this.timeout(60_000);

  it('lists, changes once, counts and diagnoses as on SQLite', async function () {
    const place = await postgresPlace();
    if ('unavailable' in place) return skip(this, place.unavailable);
    const authority = await startAdministeredAuthority({ storeUrl: place.url });
    const client = clientOf(authority);
    try {
      const properties = { cluster: 'a' };
      const first = await plantAgent(authority, { properties });
      await plantAgent(authority, { properties });
      await plantToken(authority.context, { properties });
      const page = await client.call(
        Administration.listAgents,
        ListAgentsRequest.fromPartial({ properties, pageSize: 1 }),
      );
      const rest = await client.call(
        Administration.listAgents,
        ListAgentsRequest.fromPartial({ properties, pageToken: page.nextPageToken }),
      );
      expect([...page.agents, ...rest.agents]).to.have.length(2);
      const tokens = await client.call(
        Administration.listTokens,
        ListTokensRequest.fromPartial({ properties, state: 'usable', pageSize: 1 }),
      );
      expect(tokens.tokens).to.have.length(1);
      const revoke = (idempotencyKey: string) =>
        client.call(
          Administration.revoke,
          RevokeRequest.fromPartial({
            idempotencyKey,
            subject: { $case: 'agentId', value: first.id },
          }),
        );
      const answers = await Promise.all([revoke('k'), revoke('k'), revoke('k')]).catch(
        (error: unknown) => String(Reflect.get(error as object, 'reason')),
      );
      // One that loses against another at the same time is told to ask again.
      if (typeof answers === 'string') expect(answers).to.equal('idempotency_key_in_use');
      expect(await revoke('k')).to.include({ agents: 1, certificates: 1 });
      const certificates = await client.call(
        Administration.listCertificates,
        ListCertificatesRequest.fromPartial({ state: 'revoked' }),
      );
      expect(certificates.certificates.map(({ serial }) => serial)).to.deep.equal([first.serial]);
      const byProperty = RevokeTokensRequest.fromPartial({ idempotencyKey: 't', properties });
      expect(await client.call(Administration.revokeTokens, byProperty)).to.deep.equal({
        revoked: 3,
      });
      const floor = SetTlsPolicyRequest.fromPartial({ idempotencyKey: 'f', minVersion: 'TLSv1.3' });
      expect(await reasonOf(client.call(Administration.setTlsPolicy, floor))).to.equal(
        'tls_floor_blocked',
      );
      const report = await client.call(
        Administration.getTlsPolicy,
        GetTlsPolicyRequest.fromPartial({ minVersion: 'TLSv1.3' }),
      );
      expect(report.blockersTotal).to.equal(1n);
      const status = await client.call(Administration.getStatus, {});
      expect(status).to.include({ store: 'postgres', certificatesRevoked: 1n });
      expect((await client.call(Administration.listPolicies, {})).policies).to.have.length(2);
      const audit = await client.call(
        Administration.listAudit,
        ListAuditRequest.fromPartial({ action: 'agent.revoke' }),
      );
      expect(audit.entries).to.have.length(1);
      expect((await client.call(Administration.verifyAudit, {})).problem).to.equal('');
      const { findings } = await client.call(Administration.diagnose, {});
      expect(findings).to.have.length.above(10);
      expect(findings.map(({ check }) => check)).to.not.include('backup');
      const backUp = client.call(Administration.backUp, { path: '/nowhere/copy' });
      expect(await reasonOf(backUp)).to.equal('store_not_sqlite');
      const registry = new Registry();
      registerFleetMetrics(registry, authority.context);
      expect(await registry.metrics()).to.contain('sidekey_authority_agents{state="active"} 1\n');
    } finally {
      await client.close();
      await authority.close();
      await place.close();
    }
  });
});
