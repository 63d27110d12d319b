import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAgentConfig } from '../../../../src/apps/agent/config.ts';
import { Operations } from '../../../../src/apps/agent/operations/operations.ts';
import { StoppingDisk } from '../../../support/stopping-disk.ts';
import { stillSurroundings } from '../support/surroundings.ts';

describe('operations of an agent whose disk is full', () => {
  let state: string;
  let disk: StoppingDisk;
  let restore: () => void;
  let operations: Operations;
  let surroundings: ReturnType<typeof stillSurroundings>;
  let retry: () => void;

  beforeEach(async () => {
    state = mkdtempSync(join(tmpdir(), 'sidekey-operations-'));
    disk = new StoppingDisk(state, Infinity, true);
    restore = disk.install();
    await open();
  });

  afterEach(async () => {
    await operations.close();
    restore();
    rmSync(state, { recursive: true, force: true });
  });

  async function open(): Promise<void> {
    const script = `until [ -e ${join(state, 'go')} ]; do sleep 0.01; done; echo run >> ${join(state, 'runs')}`;
    const { operations: allowed } = parseAgentConfig(
      `sidecar: unix:./none\nlisten: 127.0.0.1:0\noperations: { wait: { command: [/bin/sh, -c, ${JSON.stringify(script)}] } }\n`,
      join(state, 'agent.yaml'),
    );
    surroundings = {
      ...stillSurroundings(),
      timers: {
        after: (_ms, callback) => {
          retry = callback;
          return () => undefined;
        },
      },
    };
    operations = await Operations.open({
      state,
      allowed,
      narrowedTo: () => undefined,
      events: { add: () => undefined },
      surroundings,
    });
  }

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  /** Resolves when all there is to write down of it by then is. */
  async function begin(): Promise<string> {
    const before = disk.steps;
    const { id } = await operations.start('key', 'wait', {}, 'a manager');
    // That it was begun and which process it is, each removed, made, written, synced, renamed, and synced by name.
    await until(() => disk.steps === before + 12);
    return id;
  }

  const journal = (): string =>
    readdirSync(join(state, 'operations'))
      .filter((name) => name.endsWith('.json'))
      .map((name) => readFileSync(join(state, 'operations', name), 'utf8'))
      .join('');

  it('are not begun', async () => {
    writeFileSync(join(state, 'go'), '');
    disk.stopAt = disk.steps;
    const failure = await operations.start('key', 'wait', {}, 'a manager').catch(String);
    expect(failure).to.match(/cannot write .*\.json/u);
    expect(operations.running).to.equal(0);
    disk.stopAt = Infinity;
    // The key stands for nothing yet.
    const { id } = await operations.start('key', 'wait', {}, 'a manager');
    await until(() => operations.running === 0);
    expect((await operations.byId(id)).state).to.equal('succeeded');
  });

  it('that end are told, and written down once there is room', async () => {
    const id = await begin();
    disk.stopAt = disk.steps;
    writeFileSync(join(state, 'go'), '');
    await until(() => operations.running === 0);
    expect(await operations.byId(id)).to.include({ state: 'succeeded', exitCode: 0 });
    expect((await operations.start('key', 'wait', {}, 'a manager')).id).to.equal(id);
    await until(() => surroundings.lines.some(({ level }) => level === 50));
    disk.stopAt = Infinity;
    retry();
    await until(() => journal().includes('"succeeded"'));
    await operations.close();
    await open();
    expect((await operations.byId(id)).state).to.equal('succeeded');
    expect(readFileSync(join(state, 'runs'), 'latin1')).to.equal('run\n');
    expect(surroundings.lines.filter(({ level }) => level === 50)).to.have.length(0);
  });

  it('that end are interrupted when the agent ends before there is room, and not run again', async () => {
    const id = await begin();
    disk.stopAt = disk.steps;
    writeFileSync(join(state, 'go'), '');
    await until(() => operations.running === 0);
    await operations.close();
    disk.stopAt = Infinity;
    await open();
    const again = await operations.start('key', 'wait', {}, 'a manager');
    expect(again).to.include({ id, state: 'interrupted' });
    expect(readFileSync(join(state, 'runs'), 'latin1')).to.equal('run\n');
  });
});
