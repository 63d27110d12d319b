import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { readBounded, type StateDirectory } from '../../../identity/index.ts';
import { connectionModes } from '../../fleet/agent-api/connection.ts';
import { agentStates } from '../../fleet/agent-api/messages.ts';
import { processMark } from '../operations/process-mark.ts';
import { StateError } from './state-error.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/u);

const schema = z.strictObject({
  format: z.literal(1),
  /** Made at the first start, kept. */
  instanceId: z.uuid(),
  state: z.enum(agentStates),
  /** As a manager has set it; absent: the configuration file says. */
  connection: z
    .strictObject({ mode: z.enum(connectionModes), managers: z.array(z.string()) })
    .optional(),
  /** The last `activate` that was begun. */
  activation: z
    .strictObject({
      key: z.string(),
      bundleHash: sha256,
      /** Absent: it has not ended, or not well. */
      outcome: z.strictObject({ agentId: z.string(), notAfter: z.iso.datetime() }).optional(),
    })
    .optional(),
  /** Hash of the bundle of the configuration file, once it was used. */
  usedBundle: sha256.optional(),
  /** SPIFFE ID as last known. */
  agentId: z.string().optional(),
  /** `deactivate` was begun, and the sidecar may not have forgotten yet. */
  forgetting: z.boolean(),
  /** SPIFFE ID that was given up: it does not come back by itself. */
  forgotten: z.string().optional(),
  configuration: z.strictObject({
    version: z.int().min(0),
    hash: sha256.or(z.literal('')),
    appliedAt: z.iso.datetime().optional(),
    /** Being applied: whoever finds this at its start was interrupted. */
    applying: z
      .strictObject({
        version: z.int().min(1),
        hash: sha256,
        /** The program that takes it over. */
        process: processMark.optional(),
      })
      .optional(),
  }),
});

/** All an agent has to remember, but for events and operations. */
export type AgentRecordData = Readonly<z.infer<typeof schema>>;

/** The same on disk: what is told is durable first. */
export class AgentRecord {
  readonly #directory: StateDirectory;
  #data: AgentRecordData;

  private constructor(directory: StateDirectory, data: AgentRecordData) {
    this.#directory = directory;
    this.#data = data;
  }

  /** Reads the record, or begins one. Rejects with {@link StateError} if there is one that cannot be read. */
  static async open(directory: StateDirectory): Promise<AgentRecord> {
    const path = join(directory.path, fileName);
    const bytes = await readBounded(path);
    if (bytes === undefined) {
      const record = new AgentRecord(directory, newRecord());
      await record.#write(record.#data);
      return record;
    }
    try {
      const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
      return new AgentRecord(directory, schema.parse(value));
    } catch (cause) {
      throw new StateError(`${path} is damaged; restore it, or remove it to begin anew`, { cause });
    }
  }

  get data(): AgentRecordData {
    return this.#data;
  }

  /** Changes some fields; resolves when that is durable. Until then, and if it fails, the old ones are told. */
  async update(change: (data: AgentRecordData) => Partial<AgentRecordData>): Promise<void> {
    await (this.#last = this.#last
      .catch(() => undefined)
      .then(async () => {
        const data = { ...this.#data, ...change(this.#data) };
        await this.#write(data);
        this.#data = data;
      }));
  }

  #last: Promise<void> = Promise.resolve();

  async #write(data: AgentRecordData): Promise<void> {
    await this.#directory.replace(fileName, Buffer.from(`${JSON.stringify(data, null, 1)}\n`));
  }
}

function newRecord(): AgentRecordData {
  return {
    format: 1,
    instanceId: randomUUID(),
    state: 'bootstrapped',
    forgetting: false,
    configuration: { version: 0, hash: '' },
  };
}

const fileName = 'agent.json';
