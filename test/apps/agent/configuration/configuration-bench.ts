import type { AgentRecord } from '../../../../src/apps/agent/state/agent-record.ts';
import type { Configured } from '../../../../src/apps/fleet/agent-api/messages.ts';
import {
  type ConfigurationOpener,
  sealConfiguration,
} from '../../../../src/apps/fleet/configuration/index.ts';
import { type EnrolledHost, enrolledHost } from '../../../support/message-parties.ts';
import { createTestCa } from '../../../support/test-ca.ts';
import { localOpener, localSigner } from '../../fleet/configuration/local-workload.ts';

const agentUuid = '22222222-2d4b-4c63-9a57-6f1d5c1f0e11';
const managerUuid = '11111111-2d4b-4c63-9a57-6f1d5c1f0e11';

/** A manager that seals, and an agent's sidecar that opens, without either. */
export class ConfigurationBench {
  readonly opener: ConfigurationOpener;
  readonly now = new Date();
  readonly #agent: EnrolledHost;
  readonly #manager: EnrolledHost;

  constructor() {
    const ca = createTestCa();
    this.#agent = enrolledHost(ca, 'agent', agentUuid);
    this.#manager = enrolledHost(ca, 'manager', managerUuid);
    this.opener = localOpener(this.#agent.decryption, this.#manager.tls);
  }

  async seal(options: {
    readonly version: number;
    readonly content: Uint8Array;
    /** Absent: in an hour. */
    readonly notAfter?: Date;
  }): Promise<Uint8Array> {
    return await sealConfiguration({
      agentId: agentUuid,
      notAfter: new Date(this.now.getTime() + 3_600_000),
      ...options,
      recipientCertificate: this.#agent.decryption.chain[0]!,
      workload: localSigner(this.#manager.tls, this.now),
      now: this.now,
    });
  }

  /** Makes a record that of this agent, active. */
  async activate(record: AgentRecord): Promise<void> {
    const agentId = this.#agent.spiffeId;
    if (record.data.agentId === agentId) return;
    await record.update(() => ({ state: 'active', agentId }));
  }
}

/** What is answered, in a word. */
export async function outcomeOf(answer: Promise<Configured>): Promise<string> {
  try {
    return (await answer).outcome;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return String(error.code);
    throw error;
  }
}
