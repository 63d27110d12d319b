import { expect } from 'chai';
import { Activation } from '../../../src/apps/agent/activation.ts';
import { AgentRecord } from '../../../src/apps/agent/state/agent-record.ts';
import type { EnrolledFacts } from '../../../src/apps/agent/identities/identity-state.ts';
import { verbs } from '../../../src/apps/fleet/agent-api/verbs.ts';
import { StateDirectory } from '../../../src/identity/index.ts';
import { killedAtEveryStep, type StoppingDisk } from '../../support/stopping-disk.ts';
import { stillSurroundings } from './support/surroundings.ts';
import { ids } from './support/test-agent.ts';
import { TestUpkeep } from './support/test-upkeep.ts';

const states: readonly string[] = verbs.activate.states;
const bundle = (): Buffer => Buffer.from('a bundle');

/** A sidecar, which outlives the agent: it may have done what it was asked when nobody is there to hear so. */
class OutlivingSidecar extends TestUpkeep {
  disk: StoppingDisk | undefined;

  override async enroll(request: { readonly bundle: Uint8Array }) {
    this.disk?.step();
    const enrolment = await super.enroll(request);
    this.disk?.step();
    return enrolment;
  }

  override async forget() {
    this.disk?.step();
    const answer = await super.forget();
    this.disk?.step();
    return answer;
  }

  facts(): { readonly enrolled: EnrolledFacts | undefined; readonly bootstrap: undefined } {
    const enrolled = {
      spiffeId: this.agentId,
      notBefore: new Date(0),
      notAfter: new Date(1),
      ready: true,
      problem: undefined,
      decryptionCertificates: [],
    };
    return { enrolled: this.enrolled ? enrolled : undefined, bootstrap: undefined };
  }
}

async function withActivation(
  path: string,
  upkeep: TestUpkeep,
  work: (activation: Activation, record: AgentRecord) => Promise<void>,
): Promise<void> {
  const directory = await StateDirectory.open(path);
  try {
    const record = await AgentRecord.open(directory);
    const activation = new Activation({
      record,
      upkeep,
      identity: 'agent',
      events: { add: () => undefined },
      surroundings: stillSurroundings(),
      changed: () => undefined,
    });
    await work(activation, record);
  } finally {
    await directory.close();
  }
}

describe('an agent that is killed at any step', () => {
  let sidecar: OutlivingSidecar;

  /** Starts it again, and has it hear what the sidecar says. */
  async function comeBack(
    directory: string,
    work: (activation: Activation, record: AgentRecord) => Promise<void>,
  ): Promise<void> {
    sidecar.disk = undefined;
    await withActivation(directory, sidecar, async (activation, record) => {
      await activation.reconcile(sidecar.facts());
      await work(activation, record);
    });
  }

  it('of its activation is activated by the same request again, and has no way back', async () => {
    const steps = await killedAtEveryStep({
      run: async (disk) => {
        sidecar = new OutlivingSidecar(ids.agent, false);
        sidecar.disk = disk;
        await withActivation(disk.directory, sidecar, async (activation) => {
          await activation.activate('key-1', bundle(), 'a manager');
        });
      },
      comeBack: async (directory, step) => {
        const wasEnrolled = sidecar.enrolled;
        await comeBack(directory, async (activation, record) => {
          const { state } = record.data;
          if (wasEnrolled) expect(state, step).to.equal('active');
          else expect(state, step).to.be.oneOf(['bootstrapped', 'activating']);
          // As requests are let through to it.
          if (states.includes(state) || activation.isRepeated('key-1')) {
            const answer = await activation.activate('key-1', bundle(), 'a manager');
            expect(answer.agentId, step).to.equal(ids.agent);
          }
          expect(record.data, step).to.include({ state: 'active', agentId: ids.agent });
        });
        await comeBack(directory, (_activation, record) => {
          expect(record.data.state, step).to.equal('active');
          return Promise.resolve();
        });
        expect(new Set(sidecar.bundles.map(String)), step).to.deep.equal(new Set(['a bundle']));
      },
    });
    expect(steps).to.be.above(12);
  });

  it('of its deactivation is as active as before, or deactivated with its keys destroyed', async () => {
    let begun = false;
    const steps = await killedAtEveryStep({
      run: async (disk) => {
        begun = false;
        sidecar = new OutlivingSidecar(ids.agent, false);
        await withActivation(disk.directory, sidecar, async (activation) => {
          await activation.activate('key-1', bundle(), 'a manager');
          begun = true;
          sidecar.disk = disk;
          await activation.deactivate();
        });
      },
      comeBack: async (directory, step) => {
        if (!begun) return;
        await comeBack(directory, async (activation, record) => {
          if (record.data.state === 'active') {
            expect(sidecar.enrolled, step).to.equal(true);
            await activation.deactivate();
          }
        });
        await comeBack(directory, (activation, record) => {
          const { state, forgetting, configuration } = record.data;
          expect({ state, forgetting }, step).to.deep.equal({
            state: 'deactivated',
            forgetting: false,
          });
          expect(configuration.version, step).to.equal(0);
          expect(sidecar.enrolled, step).to.equal(false);
          expect(activation.isRepeated('key-1'), step).to.equal(false);
          return Promise.resolve();
        });
      },
    });
    expect(steps).to.be.above(20);
  });
});
