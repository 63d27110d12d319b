import type { ManagerStatus } from '../fleet/admin-api/messages.ts';
import type { ConnectionMode } from '../fleet/agent-api/connection.ts';
import type { AgentRecord } from './fleet/agent-record.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { ConfigurationPush } from './jobs/configuration-push.ts';
import type { OperationJobs } from './jobs/operation-jobs.ts';
import type { ManagerStore } from './store/manager-store.ts';
import type { BeatLog } from './sweep/beat-log.ts';

/** What a manager is made of, for its administration. Methods that change something resolve when it is durable. */
export interface ManagerParts {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  readonly beats: BeatLog;
  readonly operations: OperationJobs;
  readonly configurations: ConfigurationPush;
  readonly now: () => Date;
  status(): ManagerStatus;
  /** A pending agent without a bundle, a registered one with it. */
  activate(record: AgentRecord, bundle: Uint8Array | undefined, actor: string): Promise<void>;
  changeMode(
    record: AgentRecord,
    mode: ConnectionMode,
    address: string | undefined,
    actor: string,
  ): Promise<void>;
  deactivate(record: AgentRecord, actor: string, reason: string): Promise<void>;
  quarantine(record: AgentRecord, actor: string, reason: string): Promise<void>;
  release(record: AgentRecord, actor: string, reason: string): Promise<void>;
  forget(record: AgentRecord, actor: string, reason: string): Promise<void>;
}
