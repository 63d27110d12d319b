import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect } from 'chai';
import { directProtocols, reverseProtocols } from '../../../src/apps/fleet/agent-api/connection.ts';
import type { Agent } from '../../../src/apps/agent/agent.ts';
import type { ConnectOptions, Offload } from '../../../src/offload/index.ts';
import { Fleet, type Member } from '../authority/fleet.ts';
import { eventually, ManagedFleet, type RunningManager } from '../../support/managed-fleet.ts';
import { http2Preface } from '../../support/plaintext-capture.ts';
import { RecordRelay } from '../../support/record-relay.ts';
import { speak, type Spoken } from './support/http-over.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };
const silence = { up: 0, down: 0 };
/** What nobody whose certificate is refused sees of a connection. */
const nothing: Spoken = { secured: false, bytes: 0 };
const request = 'GET /v1/hello HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n';
const protocols = [
  { direct: 'h2', reverse: 'sidekey-reverse-h2/1', says: http2Preface },
  { direct: 'http/1.1', reverse: 'sidekey-reverse-http/1', says: request },
] as const;

/** Everything is real; what passes is counted on the wire, where bytes of HTTP are application data of TLS. */
describe('before any byte of HTTP', function () {
  this.timeout(60_000);
  let all: ManagedFleet;
  let elsewhere: Fleet;
  let running: RunningManager;
  let agent: Agent;
  let agentId: string;
  let agentHost: Member;
  let bootstrapKey: string;
  const relays: RecordRelay[] = [];
  /** Applications of those who are refused, and of one who is not. */
  let thief: Offload;
  let stranger: Offload;
  let newcomer: Offload;
  let manager: Offload;

  before(async () => {
    all = new ManagedFleet();
    elsewhere = new Fleet();
    await all.start();
    running = await all.startManager();
    manager = all.fleet.application(running.host);
    await activateAgent();
    const thiefHost = await all.fleet.startHost();
    await all.fleet.enroll(all.authority.running, thiefHost, 'agent');
    thief = all.fleet.application(thiefHost);
    newcomer = all.fleet.application(await all.startAgentHost());
    const { running: otherAuthority } = await elsewhere.startAuthority();
    const strangerHost = await elsewhere.startHost();
    await elsewhere.enroll(otherAuthority, strangerHost, 'manager');
    stranger = elsewhere.application(strangerHost);
  });

  afterEach(() => {
    for (const relay of relays.splice(0)) relay.close();
  });

  after(async () => {
    await all.close();
    await elsewhere.close();
  });

  /** One that began with a bootstrap certificate, and has none any more. */
  async function activateAgent(): Promise<void> {
    const started = await all.startAgent({
      enrolled: false,
      config: 'listen: 127.0.0.1:0\nmode: manager-initiated',
    });
    ({ agent, host: agentHost } = started);
    await eventually(() => agent.listening !== undefined);
    const { identities } = await all.fleet.application(agentHost).workload.listIdentities();
    bootstrapKey = identities.find(({ name }) => name === 'bootstrap')!.publicKeyHash!;
    const { id } = await running.administration.register(
      {
        name: 'one',
        address: agent.listening!,
        bootstrapKeyHash: bootstrapKey.slice('sha256:'.length),
        mode: 'manager-initiated',
        labels: {},
      },
      owner,
    );
    const bundle = await all.fleet.mint(all.authority.running, 'agent');
    ({ spiffeId: agentId } = (await running.administration.activate(id, bundle, owner)) as {
      spiffeId: string;
    });
    await eventually(() => running.manager.status().connected === 1);
  }

  async function relayTo(address: string): Promise<RecordRelay> {
    const relay = await RecordRelay.before(address);
    relays.push(relay);
    return relay;
  }

  /** Dials the agent as somebody, and says something as soon as it can be said. */
  async function dial(offload: Offload, options: ConnectOptions, says: string) {
    const relay = await relayTo(agent.listening!);
    const spoken = await speak(
      offload.connect({
        host: '127.0.0.1',
        port: relay.port,
        targetIdentities: [agentId],
        ...options,
      }),
      says,
    );
    await eventually(() => relay.ended === 1);
    return { spoken, passed: relay.application };
  }

  /** Waits where the agent dials, as somebody who asks first, as managers do. */
  async function waitFor(offload: Offload, reverse: string, says: string) {
    const spoken: Spoken[] = [];
    const server = createServer({ allowHalfOpen: true }, (raw) => {
      const socket = offload.wrap(raw, { role: 'server', ALPNProtocols: [reverse] });
      void speak(socket, says).then((one) => spoken.push(one));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const relay = await relayTo(`127.0.0.1:${String(port)}`);
    const dialling = await all.startAgent({
      enrolled: true,
      config: `mode: agent-initiated\nmanagers: ["127.0.0.1:${String(relay.port)}"]\nreconnect: { least: 1m, first: 1m }`,
    });
    try {
      await eventually(() => relay.ended === 1 && spoken.length === 1);
    } finally {
      server.close();
      await all.stopAgent(dialling.agent);
    }
    const heard = dialling.log.filter(({ msg }) => msg.startsWith('request')).length;
    return { spoken: spoken[0], passed: relay.application, heard };
  }

  const refused = { spoken: nothing, passed: silence };

  it('has protocols of either direction', () => {
    expect(protocols.map(({ direct }) => direct)).to.have.members([...directProtocols]);
    expect(protocols.map(({ reverse }) => reverse)).to.have.members([...reverseProtocols]);
  });

  for (const { direct, reverse, says } of protocols) {
    const ALPNProtocols = [direct];

    it(`a manager is heard on ${direct}, so that silence means something`, async () => {
      const { spoken, passed } = await dial(manager, { ALPNProtocols }, request);
      expect(spoken.secured).to.equal(true);
      expect(passed.up).to.be.above(0);
      expect(passed.down).to.be.above(0);
    });

    it(`the certificate of an agent is refused as a manager's on ${direct}`, async () => {
      expect(await dial(thief, { ALPNProtocols }, says)).to.deep.equal(refused);
    });

    it(`the certificate of an agent is refused as a manager's on ${reverse}`, async () => {
      expect(await waitFor(thief, reverse, says)).to.deep.equal({ ...refused, heard: 0 });
    });

    it(`the certificate of another authority's manager is refused on ${direct}`, async () => {
      expect(await dial(stranger, { ALPNProtocols }, says)).to.deep.equal(refused);
    });

    it(`the certificate of another authority's manager is refused on ${reverse}`, async () => {
      expect(await waitFor(stranger, reverse, says)).to.deep.equal({ ...refused, heard: 0 });
    });

    it(`a bootstrap certificate is refused by an agent that is active on ${direct}`, async () => {
      const options = { identity: 'bootstrap', ALPNProtocols };
      expect(await dial(newcomer, options, says)).to.deep.equal(refused);
    });

    it(`whoever expects the bootstrap key of an active agent is out on ${direct}`, async () => {
      const options = {
        targetIdentities: undefined,
        pinnedPublicKeys: [bootstrapKey],
        ALPNProtocols,
      };
      expect(await dial(manager, options, says)).to.deep.equal(refused);
    });
  }

  it('the sidecar of an active agent has no bootstrap certificate to show to a manager', async () => {
    const relay = await relayTo(running.manager.listening!);
    const socket = all.fleet.application(agentHost).connect({
      host: '127.0.0.1',
      port: relay.port,
      identity: 'bootstrap',
      targetIdentities: [running.manager.status().spiffeId!],
      ALPNProtocols: reverseProtocols,
    });
    const failed = once(socket, 'error') as Promise<[Error & { reason?: string }]>;
    expect(await speak(socket, request)).to.deep.equal(nothing);
    const [[error]] = await Promise.all([failed, eventually(() => relay.ended === 1)]);
    expect(error.reason).to.equal('bootstrap_shut');
    expect(relay.application).to.deep.equal(silence);
  });

  it('an agent that was not activated is refused where agents dial', async () => {
    const relay = await relayTo(running.manager.listening!);
    const socket = newcomer.connect({
      host: '127.0.0.1',
      port: relay.port,
      identity: 'bootstrap',
      targetIdentities: [running.manager.status().spiffeId!],
      ALPNProtocols: reverseProtocols,
    });
    expect(await speak(socket, request)).to.deep.equal(nothing);
    await eventually(() => relay.ended === 1);
    expect(relay.application).to.deep.equal(silence);
  });
});
