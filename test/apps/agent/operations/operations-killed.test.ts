import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAgentConfig } from '../../../../src/apps/agent/config.ts';
import { Operations } from '../../../../src/apps/agent/operations/operations.ts';
import { killedAtEveryStep } from '../../../support/stopping-disk.ts';
import { stillSurroundings } from '../support/surroundings.ts';

async function withOperations(
  state: string,
  work: (operations: Operations) => Promise<void>,
): Promise<void> {
  const script = `echo run >> ${join(state, 'runs')}`;
  const { operations: allowed } = parseAgentConfig(
    `sidecar: unix:./none\nlisten: 127.0.0.1:0\noperations: { once: { command: [/bin/sh, -c, ${JSON.stringify(script)}] } }\n`,
    join(state, 'agent.yaml'),
  );
  await mkdir(state, { recursive: true });
  const operations = await Operations.open({
    state,
    allowed,
    narrowedTo: () => undefined,
    events: { add: () => undefined },
    surroundings: stillSurroundings(),
  });
  try {
    await work(operations);
  } finally {
    await operations.close();
  }
}

describe('an operation of an agent that is killed at any step', () => {
  it('is run once at most for its key, and always has an end', async () => {
    let id: string | undefined;
    const runs = (directory: string): number =>
      existsSync(join(directory, 'runs'))
        ? readFileSync(join(directory, 'runs'), 'latin1').split('\n').length - 1
        : 0;
    const steps = await killedAtEveryStep({
      run: async (disk) => {
        id = undefined;
        await withOperations(disk.directory, async (operations) => {
          ({ id } = await operations.start('key-1', 'once', {}, 'a manager'));
          while (operations.running > 0) await new Promise((resolve) => setTimeout(resolve, 1));
        });
      },
      comeBack: async (directory, step) => {
        await withOperations(directory, async (operations) => {
          const before = runs(directory);
          const again = await operations.start('key-1', 'once', {}, 'a manager');
          // What was answered is what it stays.
          if (id !== undefined) expect(again.id, step).to.equal(id);
          while (operations.running > 0) await new Promise((resolve) => setTimeout(resolve, 1));
          const { state } = await operations.byId(again.id);
          expect(state, step).to.be.oneOf(['succeeded', 'interrupted']);
          expect(runs(directory), step).to.be.most(1);
          if (state === 'succeeded') expect(runs(directory), step).to.equal(1);
          if (id !== undefined) expect(runs(directory), step).to.equal(before);
        });
      },
    });
    expect(steps).to.be.above(12);
  });
});
