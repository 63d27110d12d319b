import { type ClientDuplexStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { expect } from 'chai';
import { changeAgentOperation } from '../../../src/ca/agents/change-agent.ts';
import type { AgentAction } from '../../../src/ca/agents/transitions.ts';
import { revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import type { PeerIdentity } from '../../../src/ca/service/peer-identity.ts';
import { withSharedEncoding } from '../../../src/ca/trust/encode-once.ts';
import { gatherBundle } from '../../../src/ca/trust/bundle-material.ts';
import { currentBundle } from '../../../src/ca/trust/bundle-document.ts';
import { publishBundle } from '../../../src/ca/trust/publish-bundle.ts';
import { TrustService, type TrustServiceLimits } from '../../../src/ca/trust/trust-service.ts';
import {
  CertificateAuthorityServiceClient,
  CertificateAuthorityServiceService,
  type FollowTrustRequest,
  type FollowTrustResponse,
  type HostReport,
} from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import { createPeerCredentialsReader } from '../../../src/rpc/peer-credentials.ts';
import { RpcServer } from '../../../src/rpc/server.ts';
import { dayMs, type EnrolmentRows } from '../support/rows.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';
import { manualTimers } from './manual-timers.ts';

/** One host at the other end of a connection. */
class TestHost {
  readonly received: FollowTrustResponse[] = [];
  readonly #stream: ClientDuplexStream<FollowTrustRequest, FollowTrustResponse>;
  readonly ended: Promise<ServiceError | undefined>;
  readonly #arrivals = new Set<() => void>();

  constructor(client: CertificateAuthorityServiceClient, host: string) {
    const metadata = new Metadata();
    metadata.set('test-host', host);
    this.#stream = client.followTrust(metadata);
    this.#stream.on('data', (message: FollowTrustResponse) => {
      this.received.push(message);
      for (const arrived of this.#arrivals) arrived();
    });
    this.ended = new Promise((resolve) => {
      this.#stream.once('error', (error: ServiceError) => {
        resolve(error);
      });
      this.#stream.once('end', () => {
        resolve(undefined);
      });
    });
  }

  say(fields: Partial<FollowTrustRequest> = {}): this {
    this.#stream.write({
      bundleSequence: 0n,
      feedSequence: 0n,
      tlsPolicyVersion: 0n,
      epoch: '',
      report: undefined,
      ...fields,
    });
    return this;
  }

  /** Resolves with the first message that fits, also one that came already. */
  async message(fits: (message: FollowTrustResponse) => boolean): Promise<FollowTrustResponse> {
    for (;;) {
      const found = this.received.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const arrived = (): void => {
          this.#arrivals.delete(arrived);
          resolve();
        };
        this.#arrivals.add(arrived);
      });
    }
  }

  end(): void {
    this.#stream.end();
  }

  pause(): void {
    this.#stream.pause();
  }
}

const reasonOf = (error: ServiceError | undefined) => error?.metadata.get('sidekey-reason')[0];

describe('FollowTrust', () => {
  forEachVacantStore((kind, place) => {
    let authority: TrustAuthority;
    let service: TrustService;
    let server: RpcServer<undefined>;
    let client: CertificateAuthorityServiceClient;
    let timers: ReturnType<typeof manualTimers>;
    let confirmed: string[];
    let renewAt: Map<string, Date>;
    let changeOrders: () => void;

    async function serve(limits: Partial<TrustServiceLimits> = {}): Promise<void> {
      timers = manualTimers();
      confirmed = [];
      renewAt = new Map();
      changeOrders = () => undefined;
      server = new RpcServer<undefined>({
        maxReceiveBytes: 1024 * 1024,
        maxConnections: 64,
        maxStreamsPerConnection: 64,
        readCredentials: createPeerCredentialsReader(),
        now: authority.context.now,
      });
      const hosts = peers;
      service = new TrustService({
        context: authority.context,
        peer: (call) => {
          const { metadata } = call as { metadata?: Metadata };
          return hosts.get(String(metadata?.get('test-host')[0]));
        },
        cut: () => undefined,
        orders: {
          renewAt: (agent) => renewAt.get(Buffer.from(agent).toString('hex')),
          ticketKeysNotBefore: () => undefined,
          onChange: (listener) => {
            changeOrders = listener;
            return () => undefined;
          },
        },
        confirm: (serial) => {
          confirmed.push(Buffer.from(serial).toString('hex'));
          return Promise.resolve();
        },
        timers,
        limits,
      });
      server.grpc.addService(withSharedEncoding(CertificateAuthorityServiceService), {
        enroll: () => undefined,
        renew: () => undefined,
        confirm: () => undefined,
        followTrust: service.followTrust,
      });
      const address = await server.listen({
        address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
        access: { mode: 0o600 },
        listener: undefined,
        requireCredentials: false,
        onRefused: () => undefined,
      });
      if (address.kind !== 'tcp') throw new Error('not tcp');
      await service.start();
      client = new CertificateAuthorityServiceClient(
        `127.0.0.1:${String(address.port)}`,
        credentials.createInsecure(),
      );
    }

    const peers = new Map<string, PeerIdentity>();

    beforeEach(async () => {
      authority = await openTrustAuthority(place());
      await serve();
    });
    afterEach(async () => {
      client.close();
      await service.close();
      await server.stopListening();
      server.destroy();
      await authority.close();
    });

    /** Makes a host known, as its connection would. */
    function known(rows: EnrolmentRows): string {
      const name = Buffer.from(rows.agent.id).toString('hex');
      peers.set(name, {
        kind: 'host',
        certificate: { serialNumber: rows.certificate.serial },
        spiffeId: rows.agent.spiffe_id,
        role: 'agent',
      } as unknown as PeerIdentity);
      return name;
    }

    const follow = (rows: EnrolmentRows): TestHost => new TestHost(client, known(rows));
    const revokeAgent = (rows: EnrolmentRows) =>
      authority.context.writer.submit(revokeOperation, {
        subject: { kind: 'agent', id: rows.agent.id },
        order: { reason: 'keyCompromise', by: 'owner' },
      });
    const revokeCertificate = (rows: EnrolmentRows) =>
      authority.context.writer.submit(revokeOperation, {
        subject: { kind: 'certificate', serial: rows.certificate.serial },
        order: { reason: 'superseded', by: 'owner' },
      });
    const change = (rows: EnrolmentRows, action: AgentAction) =>
      authority.context.writer.submit(changeAgentOperation, {
        id: rows.agent.id,
        action,
        by: 'owner',
      });
    const agentRow = (rows: EnrolmentRows) =>
      authority.store.queries
        .selectFrom('agent')
        .select(['bundle_ack', 'feed_ack', 'tls_policy_ack', 'report', 'last_seen_at'])
        .where('id', '=', rows.agent.id)
        .executeTakeFirstOrThrow();

    it('gives a new host state, trust bundle and a snapshot of what is revoked', async () => {
      const { hosts } = await authority.enrol(3);
      const [host, banned, bad] = hosts;
      await revokeAgent(banned!);
      await revokeCertificate(bad!);
      await service.feed.advance();
      const test = follow(host!).say();
      const complete = await test.message(({ snapshotComplete }) => snapshotComplete);
      const [first, second] = test.received;
      expect(first?.agentState).to.equal('active');
      expect(first?.epoch).to.equal(authority.context.epoch);
      expect(first?.serverTime?.getTime()).to.equal(authority.clock.ms);
      expect(second?.trustBundle?.signatures).to.have.length(1);
      expect(complete.snapshotStart).to.equal(true);
      expect(Number(complete.feedSequence)).to.equal(service.feed.head);
      expect(complete.revocations).to.have.length(2);
      expect(complete.revocations.map(({ spiffeId }) => spiffeId).sort()).to.deep.equal([
        '',
        banned!.agent.spiffe_id,
      ]);
      const serials = complete.revocations.map(({ serial }) => serial.toString('hex'));
      expect(serials).to.include(Buffer.from(bad!.certificate.serial).toString('hex'));
    });

    it('tells of revocations as they happen, in order', async () => {
      const { hosts } = await authority.enrol(4);
      const [host, ...others] = hosts;
      const test = follow(host!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      const result = await revokeAgent(others[0]!);
      const news = await test.message(({ revocations }) => revocations.length > 0);
      expect(news.revocations[0]?.spiffeId).to.equal(others[0]!.agent.spiffe_id);
      expect(news.revocations[0]?.reason).to.equal('keyCompromise');
      expect(Number(news.feedSequence)).to.equal(result.feedSequence);
      await revokeCertificate(others[1]!);
      const { feedSequence } = await revokeCertificate(others[2]!);
      await test.message((message) => Number(message.feedSequence) === feedSequence);
      const numbers = test.received.map((message) => Number(message.feedSequence));
      expect(numbers).to.deep.equal([...numbers].sort((a, b) => a - b));
      const told = test.received.flatMap(({ revocations }) => revocations);
      expect(told).to.have.length(3);
    });

    it('continues where a host was, without a snapshot', async () => {
      const { hosts } = await authority.enrol(3);
      const [host, first, second] = hosts;
      await service.feed.advance();
      const position = BigInt(service.feed.head);
      await revokeCertificate(first!);
      await revokeCertificate(second!);
      await service.feed.advance();
      const { epoch } = authority.context;
      const test = follow(host!).say({ epoch, feedSequence: position, bundleSequence: 1n });
      await test.message(({ feedSequence }) => Number(feedSequence) === service.feed.head);
      expect(test.received.some(({ snapshotStart }) => snapshotStart)).to.equal(false);
      expect(test.received.some(({ trustBundle }) => trustBundle !== undefined)).to.equal(false);
      expect(test.received.flatMap(({ revocations }) => revocations)).to.have.length(2);
    });

    it('begins anew with a host that comes from another epoch, or from the future', async () => {
      const { hosts } = await authority.enrol(2);
      const foreign = follow(hosts[0]!).say({ epoch: 'feedface', feedSequence: 1n });
      await foreign.message(({ snapshotStart }) => snapshotStart);
      const { epoch } = authority.context;
      const ahead = follow(hosts[1]!).say({ epoch, feedSequence: 1_000_000n });
      const { feedSequence } = await ahead.message(({ snapshotComplete }) => snapshotComplete);
      expect(Number(feedSequence)).to.equal(service.feed.head);
    });

    it('sends a new trust bundle once', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      const { context, store } = authority;
      await store.transact(async (transaction) => {
        await publishBundle(
          transaction,
          await gatherBundle({
            ...context,
            generations: context.generations.all(),
            keyOf: (generation) => context.generations.keyOf(generation),
            previous: await currentBundle(transaction.queries),
            by: 'owner',
          }),
        );
      });
      await service.feed.advance();
      const { head } = service.feed;
      await test.message(({ feedSequence }) => Number(feedSequence) === head);
      const bundles = test.received.filter(({ trustBundle }) => trustBundle !== undefined);
      expect(bundles).to.have.length(2);
    });

    it('writes what hosts acknowledge and report, later', async () => {
      const { hosts } = await authority.enrol(2);
      const { epoch } = authority.context;
      const report: HostReport = { version: '1.2.3', hostTime: undefined, listeners: [] };
      for (const rows of hosts) {
        const test = follow(rows).say({ epoch: '', report });
        await test.message(({ snapshotComplete }) => snapshotComplete);
        // More than there is: gates must not count it.
        test.say({ epoch, bundleSequence: 9n, feedSequence: 1n, tlsPolicyVersion: 3n });
      }
      await timers.until(() => service.followers === 2);
      authority.clock.ms += 5000;
      await eventually(async () => {
        await service.flush();
        const row = await agentRow(hosts[1]!);
        return row.bundle_ack > 0;
      });
      const row = await agentRow(hosts[1]!);
      expect(row).to.deep.include({ bundle_ack: 1, feed_ack: 1, tls_policy_ack: 0 });
      expect(JSON.parse(row.report!)).to.deep.include({ version: '1.2.3' });
      expect(row.last_seen_at).to.be.greaterThan(hosts[1]!.agent.last_seen_at);
    });

    it('confirms a certificate seen for the first time', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ agentState }) => agentState !== '');
      expect(confirmed).to.deep.equal([Buffer.from(hosts[0]!.certificate.serial).toString('hex')]);
    });

    it('tells a suspended agent, ends its stream, and tells it again when it returns', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      await change(hosts[0]!, 'suspend');
      expect(reasonOf(await test.ended)).to.equal('agent_suspended');
      expect(test.received.at(-1)?.agentState).to.equal('suspended');
      const again = follow(hosts[0]!).say();
      expect(reasonOf(await again.ended)).to.equal('agent_suspended');
      expect(again.received.map(({ agentState }) => agentState)).to.deep.equal(['suspended']);
      await change(hosts[0]!, 'resume');
      const back = follow(hosts[0]!).say();
      await back.message(({ agentState }) => agentState === 'active');
      expect(service.followers).to.equal(1);
    });

    it('tells an agent that it is banned, and knows it no more', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      await revokeAgent(hosts[0]!);
      expect(reasonOf(await test.ended)).to.equal('agent_banned');
      expect(test.received.at(-1)?.agentState).to.equal('banned');
      expect(reasonOf(await follow(hosts[0]!).say().ended)).to.equal('certificate_revoked');
    });

    it('ends the stream of a certificate that is revoked', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      await revokeCertificate(hosts[0]!);
      expect(reasonOf(await test.ended)).to.equal('certificate_revoked');
    });

    it('refuses certificates the store does not know, audited once', async () => {
      const { hosts } = await authority.enrol(1);
      const [rows] = hosts;
      const stranger: EnrolmentRows = {
        ...rows!,
        certificate: { ...rows!.certificate, serial: new Uint8Array(16).fill(0x41) },
      };
      for (let attempt = 0; attempt < 3; attempt += 1) {
        expect(reasonOf(await follow(stranger).say().ended)).to.equal('certificate_unknown');
      }
      await eventually(async () => {
        const rowsOf = await authority.store.queries
          .selectFrom('audit')
          .select('subject')
          .where('action', '=', 'trust.follow')
          .execute();
        return rowsOf.length === 1;
      });
    });

    it('refuses those who are nobody', async () => {
      const nobody = new TestHost(client, 'nobody').say();
      expect(reasonOf(await nobody.ended)).to.equal('host_certificate_required');
    });

    it('refuses a certificate that was replaced', async () => {
      const { hosts } = await authority.enrol(1);
      await authority.store.transact(async ({ queries }) => {
        await queries
          .updateTable('certificate')
          .set({ state: 'superseded' })
          .where('serial', '=', hosts[0]!.certificate.serial)
          .execute();
      });
      expect(reasonOf(await follow(hosts[0]!).say().ended)).to.equal('certificate_superseded');
    });

    it('has one stream for each certificate: the last', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      const second = follow(hosts[0]!).say();
      await second.message(({ snapshotComplete }) => snapshotComplete);
      expect(reasonOf(await test.ended)).to.equal('stream_replaced');
      expect(service.followers).to.equal(1);
      second.end();
      expect(await second.ended).to.equal(undefined);
      await timers.until(() => service.followers === 0);
    });

    it('gives signs of life, and ends a stream with its certificate', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      authority.clock.ms += 15_000;
      timers.pass(15_000);
      const moment = authority.clock.ms;
      await test.message(({ serverTime }) => serverTime?.getTime() === moment);
      authority.clock.ms += 2 * dayMs;
      timers.pass(15_000);
      expect(reasonOf(await test.ended)).to.equal('certificate_expired');
    });

    it('tells each host when to renew, when that changes', async () => {
      const { hosts } = await authority.enrol(2);
      const tests = hosts.map((rows) => follow(rows).say());
      for (const test of tests) await test.message(({ snapshotComplete }) => snapshotComplete);
      const when = new Date(authority.clock.ms + 60_000);
      renewAt.set(Buffer.from(hosts[0]!.agent.id).toString('hex'), when);
      changeOrders();
      const news = await tests[0]!.message((message) => message.renewAt !== undefined);
      expect(news.renewAt).to.deep.equal(when);
      changeOrders();
      await revokeCertificate((await authority.enrol(1)).hosts[0]!);
      for (const test of tests) await test.message(({ revocations }) => revocations.length > 0);
      const told = tests.map(
        ({ received }) => received.filter((message) => message.renewAt !== undefined).length,
      );
      expect(told).to.deep.equal([1, 0]);
    });

    it('hears a first message within its time, or ends', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!);
      await timers.until(() => timers.waiting >= 2);
      timers.pass(10_000);
      const error = await test.ended;
      expect(reasonOf(error)).to.equal('first_message');
    });

    it('asks to come again when it has too many', async () => {
      await service.close();
      await server.stopListening();
      server.destroy();
      client.close();
      await serve({ maxFollowers: 1 });
      const { hosts } = await authority.enrol(2);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      const error = await follow(hosts[1]!).say().ended;
      expect(reasonOf(error)).to.equal('too_many_hosts');
      expect(Number(error?.metadata.get('sidekey-retry-after-ms')[0])).to.be.greaterThan(0);
    });

    it('ends all streams when it stops', async () => {
      const { hosts } = await authority.enrol(1);
      const test = follow(hosts[0]!).say();
      await test.message(({ snapshotComplete }) => snapshotComplete);
      await service.close();
      expect(reasonOf(await test.ended)).to.equal('closing');
    });

    if (kind === 'postgres') {
      it('hears of what another replica wrote', async () => {
        const { hosts } = await authority.enrol(2);
        const test = follow(hosts[0]!).say();
        await test.message(({ snapshotComplete }) => snapshotComplete);
        const other = await authority.replica();
        await other.writer.submit(revokeOperation, {
          subject: { kind: 'agent', id: hosts[1]!.agent.id },
          order: { reason: 'unspecified', by: 'owner' },
        });
        const news = await test.message(({ revocations }) => revocations.length > 0);
        expect(news.revocations[0]?.spiffeId).to.equal(hosts[1]!.agent.spiffe_id);
      });
    }
  });
});

/** Asks again in later turns of the event loop until it is so. */
async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}
