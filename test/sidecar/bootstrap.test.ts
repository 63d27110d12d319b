import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { pino } from 'pino';
import { BootstrapIdentity } from '../../src/identity/index.ts';
import {
  type ConnectOptions,
  createOffload,
  type Offload,
  type OffloadSocket,
  type ServerOptions,
} from '../../src/offload/index.ts';
import { failure, listen } from '../offload/support/connections.ts';
import { createTestCa, type IssueOptions, type TestCa } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar, type TestSidecarOptions } from './fixture.ts';
import { FakeSource } from './support/fake-source.ts';

const managerId = 'spiffe://test/manager/1';

/** Lets ourselves pin peers. */
function pinning(...names: readonly string[]): string {
  const uid = String(process.getuid?.());
  return `[{ uid: ${uid}, identities: [${names.join(', ')}], pinnedPeers: true }]`;
}

/** A connection, or who refused whom and why. */
interface Outcome {
  readonly client: OffloadSocket;
  readonly server: OffloadSocket | undefined;
  readonly clientError: Record<string, unknown> | undefined;
  readonly serverError: Record<string, unknown> | undefined;
}

describe('a sidecar with a bootstrap identity', () => {
  let ca: TestCa;
  let other: TestCa;
  let root: string;
  const closing: (() => Promise<unknown>)[] = [];

  before(() => {
    ca = createTestCa();
    other = createTestCa({ name: 'Another Root' });
  });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sidekey-bootstrap-'));
  });

  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
    rmSync(root, { recursive: true, force: true });
  });

  async function openBootstrap(): Promise<BootstrapIdentity> {
    const bootstrap = await BootstrapIdentity.open({
      name: 'bootstrap',
      directory: join(root, 'bootstrap'),
      now: () => new Date(),
      log: pino({ level: 'silent' }),
    });
    closing.push(() => bootstrap.close());
    await bootstrap.start();
    return bootstrap;
  }

  async function start(options: TestSidecarOptions): Promise<{
    readonly sidecar: TestSidecar;
    readonly offload: Offload;
  }> {
    const sidecar = await startTestSidecar({ ca, ...options });
    const offload = createOffload({ address: sidecar.address });
    closing.push(() => sidecar.close());
    closing.push(() => offload.close());
    return { sidecar, offload };
  }

  /** A host that may enrol, and believes managers of the CA until then. */
  async function startAgent(settings = 'until: host, trust: ./manager-roots.pem') {
    const bootstrap = await openBootstrap();
    const host = new FakeSource();
    const agent = await start({
      sources: { host },
      bootstraps: { bootstrap: { source: bootstrap, settings } },
      staleTrust: '{}',
      allow: pinning('host', 'bootstrap'),
      prepare: (directory) => {
        writeFileSync(join(directory, 'manager-roots.pem'), ca.pem);
      },
    });
    return { ...agent, bootstrap, host };
  }

  async function startManager(
    identities: Record<string, IssueOptions> = {
      manager: { uris: [managerId], dnsNames: ['localhost'] },
    },
    from = ca,
  ) {
    const allow = pinning(...Object.keys(identities));
    return await start({ identities, allow, ca: from, defaultIdentity: 'manager' });
  }

  async function meet(
    [from, connectOptions]: readonly [Offload, ConnectOptions],
    [to, serverOptions]: readonly [Offload, ServerOptions],
  ): Promise<Outcome> {
    const listener = to.createServer(serverOptions);
    closing.push(async () => {
      listener.closeAllConnections();
      listener.close();
      await once(listener, 'close');
    });
    const port = await listen(listener);
    const accepted = new Promise<[OffloadSocket | undefined, Record<string, unknown> | undefined]>(
      (resolve) => {
        listener.once('secureConnection', (socket: OffloadSocket) => {
          resolve([socket, undefined]);
        });
        listener.once('tlsClientError', (error: Record<string, unknown>) => {
          resolve([undefined, error]);
        });
      },
    );
    const client = from.connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ...connectOptions,
    });
    closing.push(async () => {
      client.destroy();
      await Promise.resolve();
    });
    const clientError = await Promise.race([
      failure(client),
      once(client, 'secureConnect').then(() => undefined),
    ]);
    client.on('error', () => undefined);
    const [server, serverError] = await accepted;
    return { client, server, clientError, serverError };
  }

  async function hashOf(offload: Offload): Promise<string> {
    const { identities } = await offload.workload.listIdentities();
    return identities.find(({ name }) => name === 'bootstrap')!.publicKeyHash!;
  }

  const wrongHash = `sha256:${'0'.repeat(64)}`;
  const asBootstrap = { identity: 'bootstrap' };

  describe('before its host has enrolled', () => {
    it('lists it with the hash of its key, and what ends it', async () => {
      const { offload, bootstrap } = await startAgent();
      const { identities } = await offload.workload.listIdentities();
      const status = identities.find(({ name }) => name === 'bootstrap')!;
      expect(status).to.deep.include({
        ready: true,
        isDefault: false,
        keyType: 'ecdsa-p256',
        spiffeId: undefined,
        problem: undefined,
        enrolment: undefined,
        bootstrap: { until: 'host', closed: false },
      });
      expect(status.publicKeyHash).to.match(/^sha256:[0-9a-f]{64}$/);
      expect(Buffer.compare(status.certificates[0]!, bootstrap.current!.chain[0]!)).to.equal(0);
    });

    it('serves a manager that pins it, and knows that manager by its root', async () => {
      const agent = await startAgent();
      const manager = await startManager();
      const hash = await hashOf(agent.offload);
      for (const attempt of ['first', 'second']) {
        const { client, server } = await meet(
          [
            manager.offload,
            { pinnedPublicKeys: [wrongHash, hash], ALPNProtocols: ['sidekey-reverse-h2/1'] },
          ],
          [agent.offload, { ...asBootstrap, ALPNProtocols: ['sidekey-reverse-h2/1'] }],
        );
        expect(client.peerIdentity).to.equal(undefined);
        expect(client.peerPublicKeyHash).to.equal(hash);
        expect(client.authorized).to.equal(true);
        expect(client.alpnProtocol).to.equal('sidekey-reverse-h2/1');
        expect(server!.peerIdentity).to.equal(managerId);
        expect(server!.localIdentity).to.equal(undefined);
        expect(client.isSessionReused(), attempt).to.equal(false);
      }
    });

    it('dials a manager that pins it', async () => {
      const agent = await startAgent();
      const manager = await startManager();
      const hash = await hashOf(agent.offload);
      for (const attempt of ['first', 'second']) {
        const { client, server } = await meet(
          [agent.offload, { ...asBootstrap, targetIdentities: ['spiffe://test/manager/*'] }],
          [manager.offload, { pinnedPublicKeys: [hash] }],
        );
        expect(client.peerIdentity).to.equal(managerId);
        expect(server!.peerIdentity).to.equal(undefined);
        expect(server!.peerPublicKeyHash).to.equal(hash);
        expect(server!.isSessionReused(), attempt).to.equal(false);
      }
    });

    it('is believed by nobody who does not pin it', async () => {
      const agent = await startAgent();
      const manager = await startManager();
      const outcome = await meet([manager.offload, {}], [agent.offload, asBootstrap]);
      expect(outcome.clientError).to.include({ phase: 'handshake' });
      expect(outcome.server).to.equal(undefined);
    });

    it('believes neither what the host will believe nor another root', async () => {
      const agent = await startAgent();
      const stranger = await startManager({ manager: { uris: [managerId] } }, other);
      agent.host.follow(other.certificate);
      const hash = await hashOf(agent.offload);
      const pins = { pinnedPublicKeys: [hash] };
      const dialled = await meet(
        [agent.offload, { ...asBootstrap, targetIdentities: [managerId] }],
        [stranger.offload, pins],
      );
      expect(dialled.clientError).to.include({ reason: 'unknown_issuer' });
      const served = await meet([stranger.offload, pins], [agent.offload, asBootstrap]);
      // It is told which issuers would do.
      expect(served.serverError).to.include({ reason: 'client_certificate_required' });
    });

    it('talks to those of its peers only that its section names', async () => {
      const agent = await startAgent(
        'until: host, trust: ./manager-roots.pem, peers: ["spiffe://test/manager/*"]',
      );
      const manager = await startManager({
        manager: { uris: [managerId] },
        agent: { uris: ['spiffe://test/agent/2'] },
      });
      const hash = await hashOf(agent.offload);
      const pins = { pinnedPublicKeys: [hash] };
      const good = await meet([manager.offload, pins], [agent.offload, asBootstrap]);
      expect(good.server!.peerIdentity).to.equal(managerId);
      const bad = await meet(
        [manager.offload, { ...pins, identity: 'agent' }],
        [agent.offload, asBootstrap],
      );
      expect(bad.serverError).to.include({
        reason: 'peer_identity_mismatch',
        alert: 'access_denied',
      });
      const dialled = await meet(
        [agent.offload, { ...asBootstrap, targetIdentities: ['spiffe://test/agent/2'] }],
        [manager.offload, { ...pins, identity: 'agent' }],
      );
      expect(dialled.clientError).to.include({ reason: 'peer_identity_mismatch' });
    });

    it('is used by those only who name it', async () => {
      const agent = await startAgent();
      expect(
        await failure(
          agent.offload.connect({ port: await deadEnd(agent.offload), host: '127.0.0.1' }),
        ),
      ).to.include({ reason: 'identity_not_enrolled' });
    });

    it('takes up another root of managers', async () => {
      const agent = await startAgent();
      const stranger = await startManager({ manager: { uris: [managerId] } }, other);
      writeFileSync(join(agent.sidecar.directory, 'manager-roots.pem'), other.pem);
      agent.sidecar.sidecar.reload();
      const hash = await hashOf(agent.offload);
      const { server } = await meet(
        [stranger.offload, { pinnedPublicKeys: [hash] }],
        [agent.offload, asBootstrap],
      );
      expect(server!.peerIdentity).to.equal(managerId);
    });
  });

  describe('after its host has enrolled', () => {
    const ends: readonly (readonly [string, (host: FakeSource) => void])[] = [
      ['and is well', () => undefined],
      [
        'and was revoked',
        (host) => {
          host.changed({ state: 'revoked' });
        },
      ],
      [
        'and has expired',
        (host) => {
          host.changed({ state: 'expired' });
        },
      ],
    ];
    for (const [name, then] of ends) {
      it(`${name}, refuses it in both roles`, async () => {
        const agent = await startAgent();
        const manager = await startManager();
        const hash = await hashOf(agent.offload);
        const pins = { pinnedPublicKeys: [hash] };
        await meet([manager.offload, pins], [agent.offload, asBootstrap]);
        enrol(agent.host);
        then(agent.host);
        // Before it has heard of it, and after.
        for (const step of ['at once', 'when it is on disk']) {
          const served = await meet([manager.offload, pins], [agent.offload, asBootstrap]);
          expect(served.serverError, step).to.include({
            code: 'ERR_OFFLOAD_POLICY',
            reason: 'bootstrap_shut',
          });
          expect(served.clientError, step).not.to.equal(undefined);
          const dialled = await meet(
            [agent.offload, { ...asBootstrap, targetIdentities: [managerId] }],
            [manager.offload, pins],
          );
          expect(dialled.clientError, step).to.include({ reason: 'bootstrap_shut' });
          await agent.bootstrap.shut();
        }
        const { identities } = await agent.offload.workload.listIdentities();
        expect(identities.find(({ name: of }) => of === 'bootstrap')).to.deep.include({
          ready: false,
          publicKeyHash: undefined,
          bootstrap: { until: 'host', closed: true },
        });
      });
    }

    it('is still ready', async () => {
      const agent = await startAgent();
      enrol(agent.host);
      await agent.bootstrap.shut();
      const response = await fetch(`http://${agent.sidecar.sidecar.adminAddress ?? ''}/readyz`);
      expect(await response.text()).to.contain('ok');
    });

    it('ends a handshake that had begun with it', async () => {
      const agent = await startAgent();
      const manager = await startManager();
      const hash = await hashOf(agent.offload);
      const outcome = await meet(
        [manager.offload, { pinnedPublicKeys: [hash] }],
        [
          wrapped(agent.offload, () => {
            enrol(agent.host);
          }),
          asBootstrap,
        ],
      );
      expect(outcome.server).to.equal(undefined);
      expect(outcome.serverError).to.include({ reason: 'bootstrap_shut' });
    });

    it('serves with another key once that is forgotten', async () => {
      const agent = await startAgent();
      const manager = await startManager();
      const before = await hashOf(agent.offload);
      enrol(agent.host);
      await agent.bootstrap.shut();
      expect(await agent.offload.workload.forget({ identity: 'host' })).to.deep.equal({
        alreadyForgotten: false,
      });
      await agent.bootstrap.reopen();
      const after = await hashOf(agent.offload);
      expect(after).not.to.equal(before);
      const old = await meet(
        [manager.offload, { pinnedPublicKeys: [before] }],
        [agent.offload, asBootstrap],
      );
      expect(old.clientError).to.include({ reason: 'peer_key_not_pinned' });
      const { client } = await meet(
        [manager.offload, { pinnedPublicKeys: [after] }],
        [agent.offload, asBootstrap],
      );
      expect(client.peerPublicKeyHash).to.equal(after);
    });
  });

  function enrol(host: FakeSource): void {
    host.follow(ca.certificate);
    host.use(ca.issue({ uris: ['spiffe://test/agent/1'] }));
  }

  async function deadEnd(offload: Offload): Promise<number> {
    const listener = offload.createServer({ identity: 'bootstrap' });
    listener.on('tlsClientError', () => undefined);
    closing.push(async () => {
      listener.closeAllConnections();
      listener.close();
      await once(listener, 'close');
    });
    return await listen(listener);
  }

  /** The same, with something that happens when the first bytes of a client are there. */
  function wrapped(offload: Offload, happens: () => void): Offload {
    return Object.create(offload, {
      createServer: {
        value: (options: ServerOptions) => {
          const server = offload.createServer(options);
          server.prependListener('connection', (raw) => {
            let pieces = 0;
            const emit = raw.emit.bind(raw);
            raw.emit = (event: string | symbol, ...args: unknown[]) => {
              // Its Finished is in the second piece.
              if (event === 'data' && (pieces += 1) === 2) happens();
              return emit(event, ...(args as []));
            };
          });
          return server;
        },
      },
    }) as Offload;
  }
});
