import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAgentConfig } from '../../../../src/apps/agent/config.ts';
import { Configurations } from '../../../../src/apps/agent/configuration/configurations.ts';
import type { EventKind } from '../../../../src/apps/agent/events/event-spool.ts';
import { RunningCommand } from '../../../../src/apps/agent/operations/run-command.ts';
import { AgentRecord } from '../../../../src/apps/agent/state/agent-record.ts';
import { StateDirectory } from '../../../../src/identity/index.ts';
import type { LogLine } from '../../../sidecar/fixture.ts';
import { fleetId } from '../../../support/message-parties.ts';
import { stillSurroundings } from '../support/surroundings.ts';
import { ConfigurationBench, outcomeOf } from './configuration-bench.ts';

const canary = 'canary-of-the-test';
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

describe('the configuration of an agent', () => {
  const bench = new ConfigurationBench();
  let path: string;
  let directory: StateDirectory;
  let record: AgentRecord;
  let configurations: Configurations;
  let lines: readonly LogLine[];
  let told: { readonly kind: EventKind; readonly reason: unknown }[];
  let now: Date;

  beforeEach(async () => {
    path = mkdtempSync(join(tmpdir(), 'sidekey-configured-'));
    directory = await StateDirectory.open(path);
    record = await AgentRecord.open(directory);
    await bench.activate(record);
    now = bench.now;
    told = [];
    await open();
  });

  afterEach(async () => {
    await directory.close();
    rmSync(path, { recursive: true, force: true });
  });

  async function open(extra = ''): Promise<void> {
    const surroundings = stillSurroundings();
    ({ lines } = surroundings);
    configurations = await Configurations.open({
      config: parseAgentConfig(
        `state: .\nsidecar: unix:./none\nlisten: 127.0.0.1:0\nfiles: { allow: [/etc] }\n${extra}`,
        join(path, 'agent.yaml'),
      ),
      record,
      opener: bench.opener,
      events: { add: (kind, _message, facts) => told.push({ kind, reason: facts?.['reason'] }) },
      surroundings: { ...surroundings, now: () => now },
      inForce: () => undefined,
    });
  }

  async function offer(version: number, content: unknown): Promise<string> {
    const bytes = Buffer.isBuffer(content) ? content : json(content);
    return await outcomeOf(configurations.apply(await bench.seal({ version, content: bytes })));
  }

  const labelled = (is: string) => ({ labels: { is } });

  it('is told by its version and the hash of its content, without what is secret', async () => {
    const content = json({ ...labelled('one'), secrets: { word: canary } });
    expect(await offer(7, content)).to.equal('applied');
    const hash = createHash('sha256').update(content).digest('hex');
    const effective = configurations.effective();
    expect(effective.configuration).to.deep.equal({ version: 7, hash });
    expect(effective.content).to.deep.include({ secrets: { word: '[kept]' } });
    expect(JSON.stringify([effective, lines, told])).to.not.include(canary);
    const secret = join(path, 'current', 'secrets', 'word');
    expect(readFileSync(secret, 'latin1')).to.equal(canary);
    expect(statSync(secret).mode & 0o777).to.equal(0o600);
    expect(statSync(join(path, 'configurations')).mode & 0o777).to.equal(0o700);
  });

  it('never goes back, and is never two of one version', async () => {
    expect(await offer(2, labelled('two'))).to.equal('applied');
    const { configuration } = record.data;
    expect(await offer(1, labelled('one'))).to.equal('configuration_refused');
    expect(await offer(2, labelled('another two'))).to.equal('configuration_refused');
    expect(await offer(2, labelled('two'))).to.equal('unchanged');
    expect(record.data.configuration).to.deep.equal(configuration);
    const refusals = told.filter(({ kind }) => kind === 'configuration_refused');
    expect(refusals.map(({ reason }) => reason)).to.deep.equal(['older', 'conflict']);
    // Somebody signed two of one version: a person should know.
    expect(lines.filter(({ level }) => level === 50)).to.have.length(1);
    await open();
    expect(await offer(1, labelled('one'))).to.equal('configuration_refused');
  });

  const other = '33333333-2d4b-4c63-9a57-6f1d5c1f0e11';
  const refused: readonly {
    readonly name: string;
    readonly offered: () => Promise<string>;
    readonly reason: string;
  }[] = [
    {
      name: 'has expired',
      offered: async () => {
        const notAfter = new Date(bench.now.getTime() + 60_000);
        const sealed = await bench.seal({ version: 1, content: json({}), notAfter });
        now = new Date(notAfter.getTime() + 1000);
        return await outcomeOf(configurations.apply(sealed));
      },
      reason: 'expired',
    },
    {
      name: 'is for another agent',
      offered: async () => {
        await record.update(() => ({ agentId: fleetId('agent', other) }));
        return await offer(1, {});
      },
      reason: 'other_agent',
    },
    {
      name: 'is no JSON',
      offered: () => offer(1, Buffer.from(`{"secrets": {"a": "${canary}"`)),
      reason: 'not_acceptable',
    },
    { name: 'has what is not known', offered: () => offer(1, { x: 1 }), reason: 'not_acceptable' },
    {
      name: 'watches what the owner has not allowed',
      offered: () => offer(1, { watch: { files: ['/etc/../root/.ssh'] } }),
      reason: 'not_acceptable',
    },
    {
      name: 'has a secret whose name is a path',
      offered: () => offer(1, { secrets: { '../../evil': canary } }),
      reason: 'not_acceptable',
    },
    {
      name: 'was cut short',
      offered: async () => {
        const sealed = await bench.seal({ version: 1, content: json({}) });
        return await outcomeOf(configurations.apply(sealed.subarray(0, -1)));
      },
      reason: 'not_encrypted',
    },
  ];
  for (const { name, offered, reason } of refused) {
    it(`is refused when it ${name}, and nothing of it stays`, async () => {
      expect(await offered()).to.equal('configuration_refused');
      expect(told).to.deep.equal([{ kind: 'configuration_refused', reason }]);
      expect(record.data.configuration).to.deep.equal({ version: 0, hash: '' });
      expect(readdirSync(join(path, 'configurations'))).to.deep.equal([]);
      expect(JSON.stringify(lines)).to.not.include(canary);
    });
  }

  it('is rolled back when the program of the host does not take it over', async () => {
    const seen = join(path, 'seen');
    const script = `echo "$SIDEKEY_CONFIGURATION_VERSION $(cat "$SIDEKEY_CONFIGURATION/secrets/word")" >> ${seen}; ! grep -q bad "$SIDEKEY_CONFIGURATION/content.json"`;
    await open(`apply: { command: [/bin/sh, -c, ${JSON.stringify(script)}] }\n`);
    expect(await offer(1, { ...labelled('good'), secrets: { word: 'a' } })).to.equal('applied');
    const { configuration } = record.data;
    expect(await offer(2, { ...labelled('bad'), secrets: { word: 'b' } })).to.equal(
      'configuration_rolled_back',
    );
    expect(record.data.configuration).to.deep.equal(configuration);
    expect(readFileSync(seen, 'latin1')).to.equal('1 a\n2 b\n1 a\n');
    expect(readFileSync(join(path, 'current', 'secrets', 'word'), 'latin1')).to.equal('a');
    expect(readdirSync(join(path, 'configurations'))).to.have.length(1);
    // That version was never in force: it may come again.
    expect(await offer(2, { ...labelled('good'), secrets: { word: 'c' } })).to.equal('applied');
  });

  it('is rolled back after the agent was killed, and the program that took it over then with it', async () => {
    expect(await offer(1, labelled('one'))).to.equal('applied');
    const { configuration } = record.data;
    const leftBehind = new RunningCommand({
      command: ['/bin/sleep', '60'],
      timeoutMs: 60_000,
      maxOutputBytes: 1000,
    });
    const applying = { version: 2, hash: 'a'.repeat(64), process: leftBehind.mark! };
    await record.update(() => ({ configuration: { ...configuration, applying } }));
    await open();
    expect((await leftBehind.outcome).problem).to.equal('ended by SIGKILL');
    expect(record.data.configuration).to.deep.equal(configuration);
    expect(configurations.current?.labels).to.deep.equal({ is: 'one' });
  });

  it('is rolled back when there is no such program, or it takes too long', async () => {
    for (const apply of ['[/no/such/program]', '[/bin/sleep, "60"], timeout: 20ms']) {
      await open(`apply: { command: ${apply} }\n`);
      expect(await offer(1, {}), apply).to.equal('configuration_rolled_back');
      expect(record.data.configuration, apply).to.deep.equal({ version: 0, hash: '' });
    }
  });

  it('is rolled back when it cannot be written down, and is taken once it can', async () => {
    // Somebody has put something in the way of the link.
    mkdirSync(join(path, 'current.next'));
    expect(await offer(1, labelled('one'))).to.equal('configuration_rolled_back');
    expect(record.data.configuration).to.deep.equal({ version: 0, hash: '' });
    expect(configurations.current).to.equal(undefined);
    rmdirSync(join(path, 'current.next'));
    expect(await offer(1, labelled('one'))).to.equal('applied');
  });

  it('that is damaged on disk is a problem, and the same one again mends it', async () => {
    const content = labelled('one');
    expect(await offer(1, content)).to.equal('applied');
    writeFileSync(join(path, 'current', 'content.json'), '{}');
    await open();
    expect(configurations.current).to.equal(undefined);
    expect(configurations.problems).to.have.length(1);
    expect(await offer(1, content)).to.equal('applied');
    expect(configurations.problems).to.deep.equal([]);
    expect(configurations.current?.labels).to.deep.equal({ is: 'one' });
  });

  it('ends with the agent it was for', async () => {
    expect(await offer(1, { secrets: { word: canary } })).to.equal('applied');
    await record.update(() => ({ state: 'deactivated', configuration: { version: 0, hash: '' } }));
    await configurations.follow();
    expect(readdirSync(path)).to.not.include('current');
    expect(readdirSync(join(path, 'configurations'))).to.deep.equal([]);
  });
});
