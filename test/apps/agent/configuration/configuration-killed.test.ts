import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAgentConfig } from '../../../../src/apps/agent/config.ts';
import { Configurations } from '../../../../src/apps/agent/configuration/configurations.ts';
import { AgentRecord } from '../../../../src/apps/agent/state/agent-record.ts';
import { StateDirectory } from '../../../../src/identity/index.ts';
import { killedAtEveryStep } from '../../../support/stopping-disk.ts';
import { stillSurroundings } from '../support/surroundings.ts';
import { ConfigurationBench, outcomeOf } from './configuration-bench.ts';

describe('a configuration of an agent that is killed at any step', function () {
  this.timeout(60_000);
  const bench = new ConfigurationBench();
  const sealed: Uint8Array[] = [];

  before(async () => {
    for (let version = 1; version <= 3; version += 1) {
      sealed[version] = await bench.seal({ version, content: contentOf(version) });
    }
  });

  /** `hook`: the program that takes a configuration over, and refuses version 2. */
  async function withConfigurations(
    path: string,
    hook: boolean,
    work: (configurations: Configurations, record: AgentRecord) => Promise<void>,
  ): Promise<void> {
    const script = `echo $SIDEKEY_CONFIGURATION_VERSION >> ${join(path, 'taken')}; test $SIDEKEY_CONFIGURATION_VERSION != 2`;
    const apply = `apply: { command: [/bin/sh, -c, ${JSON.stringify(script)}] }\n`;
    const config = parseAgentConfig(
      `state: .\nsidecar: unix:./none\nlisten: 127.0.0.1:0\n${hook ? apply : ''}`,
      join(path, 'agent.yaml'),
    );
    const directory = await StateDirectory.open(path);
    try {
      const record = await AgentRecord.open(directory);
      await bench.activate(record);
      const configurations = await Configurations.open({
        config,
        record,
        opener: bench.opener,
        events: { add: () => undefined },
        surroundings: { ...stillSurroundings(), now: () => bench.now },
        inForce: () => undefined,
      });
      await work(configurations, record);
    } finally {
      await directory.close();
    }
  }

  for (const { name, hook, possible } of [
    { name: 'is one or the other', hook: false, possible: [1, 2] },
    { name: 'that is not taken over is the one before', hook: true, possible: [1] },
  ]) {
    it(`${name} as a whole, and never an older one`, async () => {
      let answered = 0;
      const steps = await killedAtEveryStep({
        run: async ({ directory }) => {
          answered = 0;
          for (const version of [1, 2]) {
            await withConfigurations(directory, hook && version === 2, async (configurations) => {
              const outcome = await outcomeOf(configurations.apply(sealed[version]!));
              if (outcome === 'applied') answered = version;
            });
          }
        },
        comeBack: async (directory, step) => {
          await withConfigurations(directory, hook, async (configurations, record) => {
            const { version, hash, applying } = record.data.configuration;
            expect(applying, step).to.equal(undefined);
            expect(version, step).to.be.oneOf([...(answered === 0 ? [0] : []), ...possible]);
            expect(version, step).to.be.least(answered);
            expectInForce(directory, version, hash, step);
            expect(configurations.effective(), step).to.deep.include({
              configuration: { version, hash },
              content: version === 0 ? null : shownOf(version),
            });
            if (hook && existsSync(join(directory, 'taken'))) {
              const taken = readFileSync(join(directory, 'taken'), 'latin1').trim().split('\n');
              // Whoever took over what is not in force was told to take it back.
              expect(taken.at(-1), step).to.equal(String(version));
            }
            if (version === 2) {
              expect(await outcomeOf(configurations.apply(sealed[1]!)), step).to.equal(
                'configuration_refused',
              );
            }
          });
          await withConfigurations(directory, false, async (configurations, record) => {
            expect(await outcomeOf(configurations.apply(sealed[3]!)), step).to.equal('applied');
            expectInForce(directory, 3, record.data.configuration.hash, step);
          });
        },
      });
      expect(steps).to.be.above(40);
    });
  }

  /** What programs of the host find where they are told to look. */
  function expectInForce(state: string, version: number, hash: string, step: string): void {
    const current = join(state, 'current');
    if (version === 0) {
      expect(existsSync(current), step).to.equal(false);
      return;
    }
    const directory = realpathSync(current);
    const content = readFileSync(join(directory, 'content.json'));
    expect(content.equals(contentOf(version)), step).to.equal(true);
    expect(createHash('sha256').update(content).digest('hex'), step).to.equal(hash);
    expect(readFileSync(join(directory, 'secrets', 'word'), 'latin1'), step).to.equal(
      `secret ${String(version)}`,
    );
  }
});

function contentOf(version: number): Buffer {
  const labels = { is: String(version) };
  return Buffer.from(JSON.stringify({ labels, secrets: { word: `secret ${String(version)}` } }));
}

function shownOf(version: number): object {
  return {
    watch: { files: [], intervalSeconds: 300 },
    labels: { is: String(version) },
    secrets: { word: '[kept]' },
  };
}
