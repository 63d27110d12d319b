import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { currentTlsPolicy } from '../../../src/ca/tls-policy/policy.ts';
import { readHostReport, writeHostReport } from '../../../src/ca/tls-policy/host-reports.ts';
import type { AuthorityClient } from '../../../src/cli/authority/client.ts';
import {
  AdministrationServiceService as Administration,
  GetTlsPolicyRequest,
  ListAuditRequest,
  SetTlsPolicyRequest,
} from '../../../src/gen/sidekey/v1/administration.ts';
import { HostReport, ListenerReport } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import {
  type AdministeredAuthority,
  plantAgent,
  startAdministeredAuthority,
} from './administered-authority.ts';
import { clientOf, reasonOf } from './calls.ts';

const listener = (name: string, maxVersion = 'TLSv1.2') =>
  ListenerReport.fromPartial({
    name,
    address: '127.0.0.1:1',
    minVersion: 'TLSv1.2',
    maxVersion,
    source: 'default',
    cipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
    attempts: [{ peer: '192.0.2.7', offered: 'TLSv1.0', count: 3n }],
  });
const reportOf = (...listeners: ListenerReport[]): string =>
  writeHostReport(HostReport.fromPartial({ version: '1.0', listeners }));

describe('TLS policy', () => {
  let authority: AdministeredAuthority;
  let client: AuthorityClient;

  beforeEach(async () => {
    authority = await startAdministeredAuthority({
      facts: { listeners: () => [listener('authority', 'TLSv1.3')] },
    });
    client = clientOf(authority);
  });

  afterEach(async () => {
    await client.close();
    await authority.close();
  });

  const set = (request: Parameters<typeof SetTlsPolicyRequest.fromPartial>[0]) =>
    client.call(
      Administration.setTlsPolicy,
      SetTlsPolicyRequest.fromPartial({
        idempotencyKey: randomBytes(8).toString('hex'),
        ...request,
      }),
    );
  const get = (request: Parameters<typeof GetTlsPolicyRequest.fromPartial>[0] = {}) =>
    client.call(Administration.getTlsPolicy, GetTlsPolicyRequest.fromPartial(request));

  it('is TLS 1.2 where nobody has said anything', async () => {
    const { policy } = await get();
    expect(policy).to.deep.equal({ version: 0n, minVersion: 'TLSv1.2', listeners: {} });
  });

  for (const version of ['SSLv3', 'TLSv1.0', 'TLSv1.1']) {
    for (const force of [false, true]) {
      it(`does not allow ${version} again${force ? ', by force neither' : ''}`, async () => {
        const refused = set({ minVersion: version, force, reason: 'old printers' });
        expect(await reasonOf(refused)).to.equal('tls_version_never_spoken');
        const message = await refused.catch((error: unknown) => String(error));
        expect(message).to.contain('RFC 8996');
      });
    }
  }

  for (const { name, request, reason } of [
    { name: 'nothing', request: {}, reason: 'min_version_missing' },
    {
      name: 'a version there is not',
      request: { minVersion: 'TLSv9' },
      reason: 'tls_version_unknown',
    },
    {
      name: 'a listener nobody could have',
      request: { minVersion: 'TLSv1.2', listener: '../x' },
      reason: 'listener_invalid',
    },
    {
      name: 'force without a reason',
      request: { minVersion: 'TLSv1.3', force: true },
      reason: 'reason_missing',
    },
  ]) {
    it(`refuses ${name}`, async () => {
      expect(await reasonOf(set(request))).to.equal(reason);
    });
  }

  it('names who would be cut off by TLS 1.3, and refuses', async () => {
    const old = await plantAgent(authority, { report: reportOf(listener('sidecar')) });
    await plantAgent(authority, { report: reportOf(listener('sidecar', 'TLSv1.3')) });
    const silent = await plantAgent(authority);
    await plantAgent(authority, { state: 'retired' });
    const { blockers, blockersTotal } = await get({ minVersion: 'TLSv1.3' });
    expect(blockersTotal).to.equal(2n);
    expect(new Set(blockers.map(({ component, why }) => `${component} ${why}`))).to.deep.equal(
      new Set([
        `${old.spiffeId} speaks nothing newer than TLSv1.2`,
        `${silent.spiffeId} has not reported what it speaks`,
      ]),
    );
    const refused = set({ minVersion: 'TLSv1.3' });
    expect(await reasonOf(refused)).to.equal('tls_floor_blocked');
    expect((await get()).policy?.version).to.equal(0n);
  });

  it('is forced with a reason, which is audited with how many are cut off', async () => {
    await plantAgent(authority);
    const { policy } = await set({ minVersion: 'TLSv1.3', force: true, reason: 'audit finding 7' });
    expect(policy).to.include({ version: 1n, minVersion: 'TLSv1.3' });
    const { entries } = await client.call(
      Administration.listAudit,
      ListAuditRequest.fromPartial({ action: 'tls_policy.set' }),
    );
    expect(JSON.parse(entries[0]?.details ?? '')).to.include({
      forced: 'audit finding 7',
      blockers: 1,
    });
  });

  it('sets and removes the floor of one listener, and goes back, for the feed to tell', async () => {
    await set({ minVersion: 'TLSv1.3', listener: 'authority' });
    expect((await get()).policy).to.deep.equal({
      version: 1n,
      minVersion: 'TLSv1.2',
      listeners: { authority: 'TLSv1.3' },
    });
    await set({ minVersion: '', listener: 'authority' });
    await set({ minVersion: 'TLSv1.2' });
    expect(await currentTlsPolicy(authority.context.store.queries)).to.deep.equal({
      version: 3n,
      minVersion: 'TLSv1.2',
      listeners: {},
    });
    const feed = await authority.context.store.queries
      .selectFrom('feed')
      .select(['payload'])
      .where('type', '=', 'tls_policy')
      .orderBy('seq')
      .execute();
    expect(feed.map(({ payload }) => JSON.parse(payload) as object)).to.deep.equal([
      { version: 1 },
      { version: 2 },
      { version: 3 },
    ]);
  });

  it('reports every listener of every component, page by page', async () => {
    const agents = [
      await plantAgent(authority, { report: reportOf(listener('sidecar'), listener('admin')) }),
      await plantAgent(authority, { report: reportOf(listener('sidecar')) }),
    ];
    const first = await get({ pageSize: 1 });
    const second = await get({ pageSize: 1, pageToken: first.nextPageToken });
    const all = [...first.listeners, ...second.listeners];
    expect(
      all.map((each) => `${each.component} ${each.listener?.name ?? ''}`).sort(),
    ).to.deep.equal(
      [
        'authority authority',
        `${agents[0]!.spiffeId} admin`,
        `${agents[0]!.spiffeId} sidecar`,
        `${agents[1]!.spiffeId} sidecar`,
      ].sort(),
    );
    expect(all[0]?.listener?.attempts).to.deep.equal([
      { peer: '192.0.2.7', offered: 'TLSv1.0', count: 3n },
    ]);
  });
});

describe('host reports', () => {
  it('are read as they were written', () => {
    const report = HostReport.fromPartial({
      version: '1.2.3',
      hostTime: new Date('2026-11-22T12:00:00Z'),
      listeners: [listener('sidecar')],
    });
    expect(readHostReport(writeHostReport(report))).to.deep.equal(report);
  });

  it('keep no more than one can look at', () => {
    const attempts = Array.from({ length: 100 }, (_, i) => ({
      peer: `192.0.2.${String(i)}`,
      offered: 'TLSv1.1',
      count: 1n,
    }));
    const listeners = Array.from({ length: 40 }, (_, i) =>
      ListenerReport.fromPartial({ name: `l${String(i)}`, attempts, address: 'x'.repeat(1000) }),
    );
    const kept = readHostReport(writeHostReport(HostReport.fromPartial({ listeners })));
    expect(kept?.listeners).to.have.length(16);
    expect(kept?.listeners[0]?.attempts).to.have.length(64);
    expect(kept?.listeners[0]?.address).to.have.length(128);
  });

  for (const json of [null, '', '{', '[]', '{"listeners":[{"name":1}]}', '{"listeners":1}']) {
    it(`are nothing where the store holds ${json ?? 'none'}`, () => {
      expect(readHostReport(json)).to.equal(undefined);
    });
  }
});
