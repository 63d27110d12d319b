import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import type { AgentDetail, Job } from '../../../src/apps/fleet/admin-api/messages.ts';
import { type CommandResult, runCommand } from '../authority/run-command.ts';
import { ScriptedManager } from './scripted-manager.ts';

const id = '0f6b1c52-8e0e-4d53-9a9c-d1f2a3b4c5d6';
const other = '1f6b1c52-8e0e-4d53-9a9c-d1f2a3b4c5d6';
const moment = '2026-12-01T10:00:00.000Z';
const none = { version: 0, hash: '' };

function agent(changes: Partial<AgentDetail> = {}): AgentDetail {
  return {
    id,
    name: 'web-1',
    state: 'active',
    mode: 'agent-initiated',
    connection: 'accepted',
    missed: 0,
    desired: none,
    effective: none,
    problems: [],
    labels: {},
    registeredAt: moment,
    eventsPulled: 3,
    ...changes,
  };
}

function job(changes: Partial<Job> = {}): Job {
  return {
    id: other,
    kind: 'operation',
    subject: 'restart',
    startedAt: moment,
    by: 'owner',
    total: 2,
    counts: { waiting: 0, running: 0, succeeded: 2, failed: 0, interrupted: 0, unreachable: 0 },
    ...changes,
  };
}

describe('sidekey fleet', () => {
  let manager: ScriptedManager;
  before(async () => {
    manager = await ScriptedManager.start();
  });
  after(() => manager.close());

  const fleet = (...argv: readonly string[]): Promise<CommandResult> => {
    const [name = '', ...rest] = argv;
    return runCommand(['fleet', name, '--manager', `unix:${manager.path}`, ...rest]);
  };

  it('reads a list to its end, a page after the other', async () => {
    manager.script(({ url }) => ({
      body: url.includes(`after=${id}`)
        ? { agents: [agent({ id: other, name: 'web-2' })] }
        : { agents: [agent()], next: id },
    }));
    const { code, out } = await fleet('list', '--state', 'active', '--label', 'zone=a');
    expect(code).to.equal(0);
    expect(out.split('\n')).to.have.length(4);
    expect(out)
      .to.match(/web-1 .*agent-initiated/u)
      .and.to.contain('web-2');
    expect(
      manager.asked.map(({ url }) => new URL(url, 'http://m').searchParams.get('label')),
    ).to.eql(['zone=a', 'zone=a']);
  });

  it('stops at the limit and says so', async () => {
    manager.script(() => ({ body: { agents: [agent()], next: id } }));
    const { out, err } = await fleet('list', '--limit', '1', '--output', 'json');
    expect(JSON.parse(out)).to.have.length(1);
    expect(err).to.contain('--limit for more');
  });

  it('finds an agent by a name that only one has', async () => {
    manager.script(({ url }) => ({
      body: url.startsWith('/v1/agents?') ? { agents: [agent()] } : agent(),
    }));
    const { code, out } = await fleet('show', 'web-1');
    expect(code).to.equal(0);
    expect(out).to.contain(id);
    expect(manager.asked.at(-1)?.url).to.equal(`/v1/agents/${id}`);
  });

  it('refuses a name that several have', async () => {
    manager.script(() => ({ body: { agents: [agent(), agent({ id: other })] } }));
    const { code, err } = await fleet('show', 'web-1');
    expect(code).to.equal(1);
    expect(err).to.contain('2 agents are called "web-1"').and.to.contain('ambiguous_name');
  });

  it('shows nothing that could control a terminal', async () => {
    manager.script(() => ({ body: agent({ name: '\u001b[2Jevil', problems: ['a\nb'] }) }));
    const { out } = await fleet('show', id);
    expect(out).to.not.contain('\u001b');
    expect(out).to.contain('a\ufffdb');
  });

  it('hands a bundle over as it is', async () => {
    manager.script(() => ({ body: agent() }));
    const file = join(manager.directory, 'a.bundle');
    await writeFile(file, 'the bundle');
    const { code, out } = await fleet('activate', id, '--bundle', file);
    expect(code).to.equal(0);
    expect(out).to.equal(`web-1 (${id}) is active, agent-initiated\n`);
    expect(manager.asked[0]).to.include({ method: 'POST', type: 'application/x-pem-file' });
    expect(manager.asked[0]?.body.toString()).to.equal('the bundle');
  });

  it('follows a job to its end and fails if it did not succeed everywhere', async () => {
    let polls = 0;
    manager.script(({ url }) => {
      if (url.includes('/targets')) {
        return { body: { targets: [{ agent: id, state: 'failed', exitCode: 3, output: 'no\n' }] } };
      }
      polls += 1;
      const counts = { ...job().counts, succeeded: 1, failed: 1 };
      return polls < 2
        ? { body: job({ counts: { ...job().counts, succeeded: 0, waiting: 2 } }) }
        : { body: job({ counts, endedAt: moment }) };
    });
    const { code, out, err } = await fleet('run', 'restart', '--argument', 'unit=web', '--all');
    expect(code).to.equal(1);
    expect(err).to.contain('restart 2 of 2, 1 failed');
    expect(out).to.contain('failed (3)').and.to.contain('1 succeeded, 1 failed');
    const [order] = manager.asked;
    expect(JSON.parse(order?.body.toString() ?? '')).to.deep.include({
      operation: 'restart',
      arguments: { unit: 'web' },
      selection: {},
    });
    expect(order?.key).to.match(/^[0-9a-f-]{36}$/u);
  });

  it('wants work for everybody to be asked for in so many letters', async () => {
    manager.script(() => ({ body: job() }));
    for (const selection of [[], ['--all', '--agent', id]]) {
      const { code, err } = await fleet('run', 'restart', ...selection);
      expect(code).to.equal(2);
      expect(err).to.contain('give --agent or --label, or --all');
    }
    expect(manager.asked).to.have.length(0);
  });

  it('tells a mistake in a configuration by its place, before anything is asked', async () => {
    manager.script(() => ({ body: job() }));
    const file = join(manager.directory, 'wrong.json');
    await writeFile(file, '{"watch":{"intervalSeconds":0}}');
    const { code, err } = await fleet('configure', '--file', file, '--all');
    expect(code).to.equal(1);
    expect(err).to.contain('wrong.json: watch.intervalSeconds');
    expect(manager.asked).to.have.length(0);
  });

  for (const { title, status, body, says } of [
    {
      title: 'a refusal',
      status: 409,
      body: { error: { code: 'not_in_this_state', message: 'it is quarantined' } },
      says: 'it is quarantined (reason not_in_this_state)',
    },
    { title: 'an answer that is none', status: 502, body: '<html>', says: 'answered 502' },
    { title: 'an answer of another version', status: 200, body: { id }, says: 'not understood' },
  ]) {
    it(`says what was wrong: ${title}`, async () => {
      manager.script(() => ({ status, body }));
      const { code, err } = await fleet('show', id);
      expect(code).to.equal(1);
      expect(err).to.contain(says);
    });
  }

  it('says where nobody answers', async () => {
    const { code, err } = await runCommand(['fleet', 'status', '--manager', 'unix:/nowhere.sock']);
    expect(code).to.equal(1);
    expect(err).to.contain('no manager answers at unix:/nowhere.sock');
    expect(err).to.contain('manager_unreachable');
  });
});
