import { type EventEmitter, once } from 'node:events';
import { expect } from 'chai';
import { createOffload, type Offload } from '../../src/offload/index.ts';
import { parseCertificate } from '../../src/pki/index.ts';
import { failure, listen, securePair } from '../offload/support/connections.ts';
import { createTestCa, type TestCa } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar, type TestSidecarOptions } from './fixture.ts';
import { FakeSource } from './support/fake-source.ts';

const hour = 3_600_000;

function idOf(name: string): string {
  return `spiffe://test/service/${name}`;
}

describe('a sidecar with enrolled identities', () => {
  let ca: TestCa;
  const started: TestSidecar[] = [];
  const offloads: Offload[] = [];

  before(() => {
    ca = createTestCa();
  });

  afterEach(async () => {
    for (const offload of offloads.splice(0)) await offload.close();
    for (const sidecar of started.splice(0)) await sidecar.close();
  });

  async function start(
    sources: Record<string, FakeSource>,
    options: TestSidecarOptions = {},
  ): Promise<{ readonly sidecar: TestSidecar; readonly offload: Offload }> {
    const sidecar = await startTestSidecar({ ca, sources, ...options });
    started.push(sidecar);
    const offload = createOffload({ address: sidecar.address });
    offloads.push(offload);
    return { sidecar, offload };
  }

  function enrolled(name: string, from = ca): FakeSource {
    return FakeSource.enrolled(from, from.issue({ uris: [idOf(name)] }));
  }

  async function readiness({ sidecar }: TestSidecar): Promise<string> {
    const response = await fetch(`http://${sidecar.adminAddress ?? ''}/readyz`);
    return `${String(response.status)} ${(await response.text()).trim()}`;
  }

  /** Connects to itself, and closes again; answers whether a session was resumed. */
  async function shakeHands(offload: Offload, name: string): Promise<boolean> {
    const { client, close } = await securePair(offload, {
      client: { targetIdentities: [idOf(name)] },
    });
    const resumed = client.isSessionReused();
    await close();
    return resumed;
  }

  async function refused(offload: Offload, name: string): Promise<Record<string, unknown>> {
    const server = offload.createServer({});
    server.on('tlsClientError', () => undefined);
    const port = await listen(server);
    try {
      const targetIdentities = [idOf(name)];
      return await failure(offload.connect({ port, host: '127.0.0.1', targetIdentities }));
    } finally {
      server.close();
    }
  }

  describe('before it has enrolled', () => {
    it('is not ready, says so, and refuses handshakes', async () => {
      const { sidecar, offload } = await start({ host: new FakeSource() });
      expect(await readiness(sidecar)).to.equal('503 identity host: "host" has not enrolled yet');
      const { identities } = await offload.listIdentities();
      expect(identities).to.have.length(1);
      expect(identities[0]).to.include({
        name: 'host',
        ready: false,
        problem: '"host" has not enrolled yet',
      });
      for (const identity of [undefined, 'host']) {
        const socket = offload.connect({ port: 1, host: '127.0.0.1', identity });
        socket.destroy();
      }
      expect(await refused(offload, 'x')).to.include({
        code: 'ERR_OFFLOAD_POLICY',
        reason: 'identity_not_enrolled',
      });
    });

    it('serves as soon as it has', async () => {
      const source = new FakeSource();
      const { sidecar, offload } = await start({ host: source });
      source.follow(ca.certificate);
      source.use(ca.issue({ uris: [idOf('host')] }));
      expect(await shakeHands(offload, 'host')).to.equal(false);
      expect(await readiness(sidecar)).to.equal('200 ok');
    });
  });

  it('uses a new certificate in the next handshake', async () => {
    const source = enrolled('host');
    const { offload } = await start({ host: source });
    await shakeHands(offload, 'host');
    const next = ca.issue({ uris: [idOf('host')] });
    source.use(next);
    const { client, server, close } = await securePair(offload, {
      client: { targetIdentities: [idOf('host')] },
    });
    expect(client.isSessionReused()).to.equal(false);
    for (const [chain] of [client.peerCertificateChain, server.peerCertificateChain]) {
      expect(Buffer.compare(chain!, next.chain[0]!)).to.equal(0);
    }
    await close();
  });

  it('keeps what it has when what it is offered is of no use', async () => {
    const source = enrolled('host');
    const { sidecar, offload } = await start({ host: source });
    source.use({ ...ca.issue({ uris: [idOf('host')] }), chain: [Uint8Array.of(0x30, 0)] });
    await shakeHands(offload, 'host');
    const { identities } = await offload.listIdentities();
    expect(identities[0]).to.include({ ready: true });
    expect(identities[0]!.problem).to.be.a('string');
    expect(sidecar.log.some(({ msg }) => msg === 'identity needs attention')).to.equal(true);
  });

  describe('judges each peer by the trust of the identity it acts as', () => {
    let left: Offload;
    let right: Offload;

    beforeEach(async () => {
      const other = createTestCa({ name: 'Other Root' });
      ({ offload: left } = await start(
        { own: enrolled('own'), foreign: enrolled('foreign', other) },
        { extra: 'tls: { sessionTickets: true }\n' },
      ));
      ({ offload: right } = await start({ peer: enrolled('peer', other) }));
    });

    for (const [identity, alert] of [
      ['foreign', undefined],
      ['own', 'unknown_ca'],
    ] as const) {
      it(`as a client that is ${identity}`, async () => {
        const server = right.createServer({});
        server.on('tlsClientError', () => undefined);
        const port = await listen(server);
        const targetIdentities = [idOf('peer')];
        const client = left.connect({ port, host: '127.0.0.1', identity, targetIdentities });
        expect(await outcome(client, 'secureConnect', 'error')).to.equal(alert);
        client.destroy();
        server.close();
      });

      it(`as a server that is ${identity}`, async () => {
        const server = left.createServer({ identity });
        const port = await listen(server);
        const ended = outcome(server, 'secureConnection', 'tlsClientError');
        const targetIdentities = [idOf(identity)];
        const client = right.connect({ port, host: '127.0.0.1', targetIdentities });
        client.on('error', () => undefined);
        // A client that does not know the server's CA is the first to say so.
        expect(await ended).to.equal(alert);
        client.destroy();
        server.close();
      });
    }
  });

  describe('after a revocation', () => {
    const revocations = [
      ['of a serial number', (source: FakeSource) => ({ serial: serialOf(source) })],
      ['of a SPIFFE ID', () => ({ spiffeId: idOf('b') })],
    ] as const;

    for (const [name, subject] of revocations) {
      it(`${name}, ends live connections on both sides, and refuses others`, async () => {
        const a = enrolled('a');
        const b = enrolled('b');
        const { offload, sidecar } = await start({ a });
        const { offload: peer } = await start({ b });
        const server = offload.createServer({});
        server.on('tlsClientError', () => undefined);
        const port = await listen(server);
        const accepted = once(server, 'secureConnection');
        const outward = peer.createServer({});
        const peerPort = await listen(outward);
        const towards = peer.connect({ port, host: '127.0.0.1', targetIdentities: [idOf('a')] });
        const from = offload.connect({
          port: peerPort,
          host: '127.0.0.1',
          targetIdentities: [idOf('b')],
        });
        await Promise.all([once(towards, 'secureConnect'), once(from, 'secureConnect')]);
        const [inward] = (await accepted) as [typeof from];
        const told = [failure(inward), failure(from), failure(towards)];
        // One for all connections of an application.
        for (let looks = 0; looks < 100; looks += 1) {
          if ((await sidecar.metric('sidekey_revocation_watchers')) === 1) break;
        }
        expect(await sidecar.metric('sidekey_revocation_watchers')).to.equal(1);
        a.revocations.add({ ...subject(b), reason: 'keyCompromise' });
        const [atServer, atClient, atPeer] = await Promise.all(told);
        for (const error of [atServer, atClient]) {
          expect(error).to.include({ code: 'ERR_OFFLOAD_PEER_REVOKED', phase: 'data' });
          expect(error!.message).to.equal(
            'certificate of spiffe://test/service/b was revoked: keyCompromise',
          );
        }
        expect(atPeer).to.include({
          code: 'ERR_OFFLOAD_PEER_ALERT',
          alert: 'certificate_revoked',
        });
        // Neither in full, nor by the session there was.
        const again = once(server, 'tlsClientError') as Promise<[Record<string, unknown>]>;
        const retry = peer.connect({ port, host: '127.0.0.1', targetIdentities: [idOf('a')] });
        expect(await failure(retry)).to.include({ reason: 'certificate_revoked' });
        expect((await again)[0]).to.include({
          reason: 'certificate_revoked',
          code: 'CERT_REVOKED',
        });
        const outwards = { port: peerPort, host: '127.0.0.1', targetIdentities: [idOf('b')] };
        outward.on('tlsClientError', () => undefined);
        expect(await failure(offload.connect(outwards))).to.include({ code: 'CERT_REVOKED' });
        server.close();
        outward.close();
      });
    }

    it('hears of those that were revoked before it asked', async () => {
      const a = enrolled('a');
      const b = enrolled('b');
      const { offload } = await start({ a, b });
      const pair = await securePair(offload, {
        client: { identity: 'a', targetIdentities: [idOf('b')] },
        server: { identity: 'b' },
      });
      const [error] = await Promise.all([failure(pair.client), revokeLater()]);
      expect(error).to.include({ code: 'ERR_OFFLOAD_PEER_REVOKED' });
      pair.server.on('error', () => undefined);
      await pair.close();

      async function revokeLater(): Promise<void> {
        await Promise.resolve();
        a.revocations.replace({ spiffeId: idOf('b'), reason: '' });
      }
    });

    it('of its own, refuses to act', async () => {
      const source = enrolled('host');
      const { sidecar, offload } = await start({ host: source });
      source.changed({ state: 'revoked' });
      expect(await readiness(sidecar)).to.contain('was revoked by its authority');
      expect(await refused(offload, 'host')).to.include({ reason: 'identity_revoked' });
    });
  });

  it('resumes no session sealed before an order to change ticket keys', async () => {
    const source = enrolled('host');
    const { offload } = await start({ host: source });
    expect(await shakeHands(offload, 'host')).to.equal(false);
    expect(await shakeHands(offload, 'host')).to.equal(true);
    source.ticketKeysNotBefore = new Date();
    source.changed();
    expect(await shakeHands(offload, 'host')).to.equal(false);
    expect(await shakeHands(offload, 'host')).to.equal(true);
  });

  it('resumes no session made under another trust bundle', async () => {
    const source = enrolled('host');
    const { offload } = await start({ host: source });
    await shakeHands(offload, 'host');
    expect(await shakeHands(offload, 'host')).to.equal(true);
    source.follow(ca.certificate, createTestCa().certificate);
    expect(await shakeHands(offload, 'host')).to.equal(false);
  });

  describe('whose authority is silent for long', () => {
    for (const [whenStale, outcome] of [
      ['warn', 'connects'],
      ['refuse', 'refuses'],
    ] as const) {
      it(`${outcome} where the configuration says ${whenStale}`, async () => {
        const source = enrolled('host');
        const { offload, sidecar } = await start(
          { host: source },
          { extra: '', staleTrust: `{ staleAfter: 1h, whenStale: ${whenStale} }` },
        );
        source.changed({ trustReceivedAt: new Date(Date.now() - 2 * hour) });
        const { identities } = await offload.listIdentities();
        expect(identities[0]!.problem).to.contain('not heard of since');
        expect(identities[0]!.ready).to.equal(whenStale === 'warn');
        if (whenStale === 'warn') await shakeHands(offload, 'host');
        else expect(await refused(offload, 'host')).to.include({ reason: 'trust_stale' });
        const age = await sidecar.metric('sidekey_trust_age_seconds{identity="host"}');
        expect(age).to.be.within(7199, 7300);
      });
    }
  });
});

/** `undefined` after the good event, the reason of the error after the other. */
function outcome(subject: EventEmitter, good: string, bad: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    subject.once(good, () => {
      resolve(undefined);
    });
    subject.once(bad, ({ alert, reason }: { alert?: string; reason?: string }) => {
      resolve(alert ?? reason);
    });
  });
}

function serialOf(source: FakeSource): Uint8Array {
  const { serialNumber } = parseCertificate(source.current!.chain[0]!);
  return serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber;
}
