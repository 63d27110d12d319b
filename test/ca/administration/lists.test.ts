import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { AuthorityClient } from '../../../src/cli/authority/client.ts';
import {
  AdministrationServiceService as Administration,
  ListAgentsRequest,
  ListCertificatesRequest,
  ListTokensRequest,
} from '../../../src/gen/sidekey/v1/administration.ts';
import {
  type AdministeredAuthority,
  plantAgent,
  plantToken,
  startAdministeredAuthority,
} from './administered-authority.ts';
import { clientOf, reasonOf } from './calls.ts';

describe('lists of the administration service', () => {
  const start = new Date('2026-11-22T12:00:00Z');
  let authority: AdministeredAuthority;
  let client: AuthorityClient;

  beforeEach(async () => {
    authority = await startAdministeredAuthority({ now: () => start });
    client = clientOf(authority);
  });

  afterEach(async () => {
    await client.close();
    await authority.close();
  });

  const listTokens = (request: Partial<ListTokensRequest>) =>
    client.call(Administration.listTokens, ListTokensRequest.fromPartial(request));
  const listAgents = (request: Partial<ListAgentsRequest>) =>
    client.call(Administration.listAgents, ListAgentsRequest.fromPartial(request));
  const listCertificates = (request: Partial<ListCertificatesRequest>) =>
    client.call(Administration.listCertificates, ListCertificatesRequest.fromPartial(request));

  it('gives every token once, newest first, though more are minted between two pages', async () => {
    const made: string[] = [];
    for (let minute = 0; minute < 7; minute += 1) {
      const createdAt = start.getTime() - minute * 60_000;
      made.push((await plantToken(authority.context, { createdAt })).toString('hex'));
    }
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await listTokens({ pageSize: 3, pageToken });
      seen.push(...page.tokens.map(({ id }) => id.toString('hex')));
      pageToken = page.nextPageToken;
      await plantToken(authority.context, { createdAt: start.getTime() + 60_000 });
    } while (pageToken !== '');
    expect(seen).to.deep.equal(made);
  });

  it('pages through tokens minted in the same millisecond', async () => {
    const made = new Set<string>();
    for (let count = 0; count < 5; count += 1) {
      made.add((await plantToken(authority.context)).toString('hex'));
    }
    const first = await listTokens({ pageSize: 2 });
    const second = await listTokens({ pageSize: 2, pageToken: first.nextPageToken });
    const third = await listTokens({ pageSize: 2, pageToken: second.nextPageToken });
    const seen = [first, second, third].flatMap(({ tokens }) =>
      tokens.map(({ id }) => id.toString('hex')),
    );
    expect(seen).to.have.length(5);
    expect(new Set(seen)).to.deep.equal(made);
    expect(third.nextPageToken).to.equal('');
  });

  for (const { state, planted } of [
    { state: 'usable', planted: {} },
    { state: 'spent', planted: { uses: 1 } },
    { state: 'expired', planted: { expiresAt: start.getTime() } },
  ]) {
    it(`finds tokens that are ${state}`, async () => {
      const wanted = await plantToken(authority.context, planted);
      for (const other of [{}, { uses: 1 }, { expiresAt: start.getTime() }]) {
        if (JSON.stringify(other) !== JSON.stringify(planted)) {
          await plantToken(authority.context, other);
        }
      }
      const { tokens } = await listTokens({ state });
      expect(tokens.map((token) => [token.id.toString('hex'), token.state])).to.deep.equal([
        [wanted.toString('hex'), state],
      ]);
    });
  }

  it('finds what has all of the properties asked for', async () => {
    const properties = { cluster: 'a', zone: '1' };
    const { id, token } = await plantAgent(authority, { properties });
    await plantAgent(authority, { properties: { cluster: 'a', zone: '2' } });
    await plantAgent(authority);
    const found = await listAgents({ properties });
    expect(found.agents.map((agent) => agent.id)).to.deep.equal([id]);
    expect(found.agents[0]?.properties).to.deep.equal(properties);
    const tokens = await listTokens({ properties });
    expect(tokens.tokens.map((each) => [each.id, each.agentIds])).to.deep.equal([[token, [id]]]);
    expect((await listAgents({ properties: { cluster: 'a' } })).agents).to.have.length(2);
  });

  it('finds one agent by SPIFFE ID, and agents whose certificates end soon', async () => {
    const soon = await plantAgent(authority, { notAfter: start.getTime() + 3_600_000 });
    const late = await plantAgent(authority);
    const named = await listAgents({ spiffeId: late.spiffeId });
    expect(named.agents.map(({ id }) => id)).to.deep.equal([late.id]);
    const ending = await listAgents({ endsBefore: new Date(start.getTime() + 7_200_000) });
    expect(ending.agents.map(({ id }) => id)).to.deep.equal([soon.id]);
  });

  it('makes pages shorter where hosts have much to say of themselves', async () => {
    const report = JSON.stringify({ version: 'x'.repeat(900_000) });
    for (let count = 0; count < 4; count += 1) await plantAgent(authority, { report });
    const first = await listAgents({});
    expect(first.agents).to.have.length(2);
    const second = await listAgents({ pageToken: first.nextPageToken });
    expect(second.agents).to.have.length(2);
    expect(second.nextPageToken).to.equal('');
    const ids = [...first.agents, ...second.agents].map(({ id }) => id.toString('hex'));
    expect(new Set(ids).size).to.equal(4);
  });

  it('gives a certificate itself only to who asks for its serial number', async () => {
    const { serial, id } = await plantAgent(authority);
    const all = await listCertificates({ agentId: id });
    expect(all.certificates.map((each) => [each.serial, each.der.length])).to.deep.equal([
      [serial, 0],
    ]);
    const one = await listCertificates({ serial });
    expect(one.certificates[0]?.der.toString('hex')).to.equal('3003020101');
  });

  it('tells expired certificates from those in use', async () => {
    const past = start.getTime() - 1000;
    const expired = await plantAgent(authority, { notBefore: past - 1000, notAfter: past });
    const live = await plantAgent(authority);
    const serialsOf = async (state: string) =>
      (await listCertificates({ state })).certificates
        .filter(({ purpose }) => purpose === 'tls')
        .map(({ serial }) => serial);
    expect(await serialsOf('expired')).to.deep.equal([expired.serial]);
    expect(await serialsOf('confirmed')).to.deep.equal([live.serial]);
  });

  for (const { name, call, reason } of [
    {
      name: 'a page token that is not ours',
      call: () => listTokens({ pageToken: '!' }),
      reason: 'page_token_invalid',
    },
    {
      name: 'a page token with an endless id',
      call: () => listTokens({ pageToken: randomBytes(64).toString('base64url') }),
      reason: 'page_token_invalid',
    },
    {
      name: 'a state there is not',
      call: () => listAgents({ state: 'x' }),
      reason: 'state_unknown',
    },
    { name: 'a role there is not', call: () => listAgents({ role: 'x' }), reason: 'role_unknown' },
    {
      name: 'more properties than anybody types',
      call: () =>
        listAgents({
          properties: Object.fromEntries(
            Array.from({ length: 9 }, (_, i) => [`p${String(i)}`, '']),
          ),
        }),
      reason: 'too_many_conditions',
    },
  ]) {
    it(`refuses ${name}`, async () => {
      expect(await reasonOf(call())).to.equal(reason);
    });
  }

  it('counts at a glance', async () => {
    await plantAgent(authority);
    await plantAgent(authority, { state: 'suspended' });
    await plantToken(authority.context);
    const status = await client.call(Administration.getStatus, {});
    expect(status).to.include({
      trustDomain: 'example.org',
      store: 'sqlite',
      keyManager: 'disk',
      certificatesLive: 2n,
      certificatesRevoked: 0n,
      tokensUsable: 1n,
      bundleSequence: 1n,
    });
    expect(status.agentsByState).to.deep.equal({ active: 1n, suspended: 1n });
    expect(status.generations.map(({ kind, state }) => `${kind} ${state}`)).to.include.members([
      'root signing',
      'issuing signing',
      'enrolment signing',
      'token signing',
    ]);
  });

  it('lists policies and reads the audit log without gaps', async () => {
    const { policies } = await client.call(Administration.listPolicies, {});
    expect(policies.map(({ name, version }) => [name, version])).to.deep.equal([
      ['default', 1],
      ['operators', 1],
    ]);
    const request = { afterSeq: 0n, subject: '', action: '', pageSize: 1 };
    const first = await client.call(Administration.listAudit, request);
    expect(first.entries.map(({ seq }) => seq)).to.deep.equal([1n]);
    const rest = await client.call(Administration.listAudit, {
      ...request,
      afterSeq: 1n,
      pageSize: 0,
    });
    const all = [...first.entries, ...rest.entries].map(({ seq }) => Number(seq));
    expect(all).to.deep.equal(Array.from({ length: Number(first.lastSeq) }, (_, i) => i + 1));
    const verdict = await client.call(Administration.verifyAudit, {});
    expect(verdict.problem).to.equal('');
    expect(verdict.entries).to.equal(first.lastSeq);
  });
});
