import { expect } from 'chai';
import { eventually, ManagedFleet, type RunningManager } from '../../support/managed-fleet.ts';
import {
  http2Frames,
  http2Preface,
  PlaintextCapture,
  type Written,
} from '../../support/plaintext-capture.ts';

const owner = { actor: 'owner', idempotencyKey: undefined };
const headers = 1;
const pushPromise = 5;

const protocols = {
  h2: ['h2', 'sidekey-reverse-h2/1'],
  'http/1.1': ['http/1.1', 'sidekey-reverse-http/1'],
};

for (const http of ['h2', 'http/1.1'] as const) {
  describe(`requests between a manager and agents, on ${http}`, function () {
    this.timeout(60_000);
    let all: ManagedFleet;
    let running: RunningManager;
    let capture: PlaintextCapture;

    before(async () => {
      all = new ManagedFleet();
      await all.start();
      running = await all.startManager();
      capture = new PlaintextCapture();
      await work();
      capture.stop();
    });
    after(async () => {
      capture.stop();
      await all.close();
    });

    /** An agent that is dialled and one that dials; both are asked for everything a sweep and a job ask. */
    async function work(): Promise<void> {
      const operation = 'operations:\n  greet: { command: [/bin/echo, hello] }';
      const dialled = await all.startAgent({
        enrolled: false,
        http1: http === 'http/1.1',
        config: `listen: 127.0.0.1:0\nmode: manager-initiated\n${operation}`,
      });
      await all.startAgent({
        enrolled: true,
        http1: http === 'http/1.1',
        config: `mode: agent-initiated\nmanagers: ["${running.manager.listening!}"]\nreconnect: { least: 10ms, first: 20ms, most: 200ms }\n${operation}`,
      });
      await eventually(() => dialled.agent.listening !== undefined);
      const { identities } = await all.fleet.application(dialled.host).workload.listIdentities();
      const key = identities.find(({ name }) => name === 'bootstrap')!.publicKeyHash!;
      const { id } = await running.administration.register(
        {
          name: 'dialled',
          address: dialled.agent.listening!,
          bootstrapKeyHash: key.slice('sha256:'.length),
          mode: 'manager-initiated',
          labels: {},
        },
        owner,
      );
      const bundle = await all.fleet.mint(all.authority.running, 'agent');
      await running.administration.activate(id, bundle, owner);
      await eventually(() => running.manager.fleet.size === 2);
      for (const { row } of running.manager.fleet.all()) {
        if (row.state === 'pending')
          await running.administration.activate(row.id, undefined, owner);
      }
      await eventually(() => running.manager.status().connected === 2);
      const { id: job } = await running.administration.operate(
        { operation: 'greet', arguments: {}, selection: {}, concurrency: 2, deadlineSeconds: 10 },
        { actor: 'owner', idempotencyKey: 'once' },
      );
      await eventually(
        async () => (await running.administration.showJob(job)).endedAt !== undefined,
      );
      const { counts } = await running.administration.showJob(job);
      expect(counts.succeeded).to.equal(2);
    }

    const isManager = (id: string | undefined): boolean => id?.includes('/manager/') === true;
    const isAuthority = (id: string | undefined): boolean => id?.includes('/authority/') === true;
    /** Whose end this is, of connections on which HTTP was spoken. */
    const ends = (): { managers: readonly Written[]; agents: readonly Written[] } => ({
      // Sidecars talk to their authority by sockets of the same kind.
      managers: capture.all.filter(
        ({ socket }) => isManager(socket.localIdentity) && !isAuthority(socket.peerIdentity),
      ),
      agents: capture.all.filter(({ socket }) => isManager(socket.peerIdentity)),
    });

    it('flow on connections that either of them dialled', () => {
      const { managers, agents } = ends();
      expect(new Set(managers.map(({ socket }) => socket.alpnProtocol))).to.deep.equal(
        new Set(protocols[http]),
      );
      expect(managers).to.have.length.above(1);
      expect(agents).to.have.length(managers.length);
    });

    if (http === 'h2') {
      it('are begun by the manager as the client of HTTP, whoever dialled', () => {
        for (const { bytes } of ends().managers) {
          expect(bytes().subarray(0, http2Preface.length).toString()).to.equal(http2Preface);
        }
      });

      it('are never made by an agent: it answers streams the manager has opened, and promises none', () => {
        const asked = new Set(
          ends().managers.flatMap(({ bytes }) =>
            http2Frames(bytes().subarray(http2Preface.length))
              .filter(({ type }) => type === headers)
              .map(({ streamId }) => streamId),
          ),
        );
        expect(asked.size).to.be.above(2);
        for (const { bytes } of ends().agents) {
          const written = bytes();
          expect(written.subarray(0, 3).toString('latin1')).to.not.equal('PRI');
          const frames = http2Frames(written);
          expect(frames.filter(({ type }) => type === pushPromise)).to.have.length(0);
          for (const { type, streamId } of frames) {
            if (type === headers) expect(asked.has(streamId), String(streamId)).to.equal(true);
          }
          expect(written.toString('latin1')).to.not.match(/(?:GET|POST|PUT) \/\S* HTTP\/1/u);
        }
      });
    } else {
      it('are lines the manager begins with, whoever dialled', () => {
        for (const { bytes } of ends().managers) {
          expect(bytes().toString('latin1')).to.match(/^(?:GET|POST|PUT) \/\S* HTTP\/1\.1\r\n/u);
        }
      });

      it('are never made by an agent: all it says are answers, of which there are no more than requests', () => {
        const count = (written: readonly Written[], line: RegExp): number =>
          written.reduce(
            (sum, { bytes }) => sum + [...bytes().toString('latin1').matchAll(line)].length,
            0,
          );
        const { managers, agents } = ends();
        const [requestLine, statusLine] = [/[A-Z]+ \/\S* HTTP\/1\.1\r\n/gu, /HTTP\/1\.1 \d{3} /gu];
        const asked = count(managers, requestLine);
        expect(asked).to.be.above(4);
        expect(count(agents, requestLine)).to.equal(0);
        expect(count(managers, statusLine)).to.equal(0);
        expect(count(agents, statusLine)).to.be.within(1, asked);
        for (const { bytes } of agents) {
          expect(bytes().subarray(0, 9).toString('latin1')).to.equal('HTTP/1.1 ');
        }
      });
    }
  });
}
