import { expect } from 'chai';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  agentDetail,
  agentsPage,
  job,
  jobTargets,
} from '../../../src/apps/fleet/admin-api/messages.ts';
import { needsBuild } from '../../cli/built-command.ts';
import { eventually, ManagedFleet, type ManagerHome } from '../../support/managed-fleet.ts';
import { ManagerProcess } from '../../support/manager-process.ts';
import { type PostgresServer, sharedPostgres } from '../../support/postgres.ts';
import { skip } from '../../support/skip.ts';

/** The built program and real agents; what is in the middle of something waits there for a file. */
for (const kind of ['sqlite', 'postgres'] as const) {
  describe(`a manager on ${kind} that is killed`, function () {
    this.timeout(60_000);
    let server: PostgresServer | undefined;
    let all: ManagedFleet;
    let home: ManagerHome;
    let manager: ManagerProcess;
    let scratch: string;

    before(async function () {
      needsBuild(this);
      if (kind === 'sqlite') return;
      const started = await sharedPostgres();
      if ('unavailable' in started) return skip(this, started.unavailable);
      server = started;
    });
    beforeEach(async () => {
      all = new ManagedFleet();
      await all.start();
      scratch = all.directory('scratch');
      home = await all.managerHome(await store());
      manager = await ManagerProcess.start(home);
    });
    afterEach(async () => {
      await manager.kill();
      await all.close();
    });

    async function store(): Promise<string> {
      if (server === undefined) return '';
      const file = join(scratch, 'store.url');
      writeFileSync(file, await server.createDatabase(), { mode: 0o600 });
      return `store: { postgresUrlFile: "${file}" }`;
    }

    /** Writes a line, then waits until it is let go. */
    const gated = (name: string) => {
      const [ran, go] = [join(scratch, name), join(scratch, `${name}.go`)];
      const script = `echo ran >> ${ran}; while [ ! -e ${go} ]; do sleep 0.02; done`;
      return {
        command: `[/bin/sh, -c, "${script}"]`,
        begun: () => existsSync(ran),
        letGo: () => {
          writeFileSync(go, '');
        },
        times: () => readFileSync(ran, 'utf8').trim().split('\n').length,
      };
    };

    async function killAndStart(): Promise<void> {
      await manager.kill();
      manager = await ManagerProcess.start(home);
    }

    /** An agent that is registered, and the bundle it is to enrol with. */
    async function registered(config = '') {
      const agent = await all.startAgent({
        enrolled: false,
        config: `listen: 127.0.0.1:0\nmode: manager-initiated\n${config}`,
      });
      await eventually(() => agent.agent.listening !== undefined);
      const { identities } = await all.fleet.application(agent.host).workload.listIdentities();
      const key = identities.find(({ name }) => name === 'bootstrap')!.publicKeyHash!;
      const body = {
        name: 'web-1',
        address: agent.agent.listening!,
        bootstrapKeyHash: key.slice('sha256:'.length),
        mode: 'manager-initiated',
        labels: {},
      };
      const { id } = await manager.ask({ method: 'POST', path: '/v1/agents', body }, agentDetail);
      const bundle = await all.fleet.mint(all.authority.running, 'agent');
      return { id, bundle };
    }

    const activate = (id: string, bundle: Uint8Array) =>
      manager.ask(
        {
          method: 'POST',
          path: `/v1/agents/${id}/activate`,
          body: { type: 'application/x-pem-file', bytes: bundle },
        },
        agentDetail,
      );
    const show = (id: string) =>
      manager.ask({ method: 'GET', path: `/v1/agents/${id}` }, agentDetail);

    async function active(config: string): Promise<string> {
      const { id, bundle } = await registered(config);
      const { id: known } = await activate(id, bundle);
      await eventually(async () => (await show(known)).lastHeartbeat !== undefined);
      return known;
    }

    it('in the middle of an activation ends it, with the same bundle and the same agent', async () => {
      const { id, bundle } = await registered();
      const cut = activate(id, bundle).then(
        () => 'answered',
        () => 'cut',
      );
      await eventually(async () => (await show(id)).state === 'activating');
      await killAndStart();
      expect(await cut).to.equal('cut');
      const { id: known, state, spiffeId } = await activate(id, bundle);
      expect([state, spiffeId]).to.deep.equal(['active', `spiffe://example.org/agent/${known}`]);
      await eventually(async () => (await show(known)).lastHeartbeat !== undefined);
      const { agents } = await manager.ask({ method: 'GET', path: '/v1/agents' }, agentsPage);
      expect(agents.map((one) => one.id)).to.deep.equal([known]);
    });

    it('in the middle of an operation hears how it ended, and runs nothing twice', async () => {
      const work = gated('operation');
      const agent = await active(`operations: { work: { command: ${work.command} } }`);
      const order = {
        method: 'POST',
        path: '/v1/jobs',
        body: { operation: 'work' },
        idempotencyKey: 'once',
      } as const;
      const { id } = await manager.ask(order, job);
      await eventually(work.begun);
      await killAndStart();
      expect((await manager.ask(order, job)).id).to.equal(id);
      work.letGo();
      await eventually(
        async () =>
          (await manager.ask({ method: 'GET', path: `/v1/jobs/${id}` }, job)).endedAt !== undefined,
      );
      const path = `/v1/jobs/${id}/targets`;
      const { targets } = await manager.ask({ method: 'GET', path }, jobTargets);
      expect(targets).to.deep.equal([{ agent, state: 'succeeded', exitCode: 0, output: '' }]);
      expect(work.times()).to.equal(1);
    });

    it('in the middle of a configuration brings it into force, and has it applied once', async () => {
      const work = gated('configuration');
      const agent = await active(`apply: { command: ${work.command} }`);
      const { id } = await manager.ask(
        { method: 'PUT', path: '/v1/configuration', body: { content: { labels: { a: 'b' } } } },
        job,
      );
      await eventually(work.begun);
      await killAndStart();
      work.letGo();
      await eventually(async () => {
        const { desired, effective } = await show(agent);
        return desired.version > 0 && effective.hash === desired.hash;
      });
      await eventually(
        async () =>
          (await manager.ask({ method: 'GET', path: `/v1/jobs/${id}` }, job)).counts.succeeded ===
          1,
      );
      expect(work.times()).to.equal(1);
    });
  });
}
