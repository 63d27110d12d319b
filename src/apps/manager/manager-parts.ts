import type { ManagerStatus } from '../fleet/admin-api/messages.ts';
import type { AgentChanges } from './agent-changes.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { ConfigurationPush } from './jobs/configuration-push.ts';
import type { OperationJobs } from './jobs/operation-jobs.ts';
import type { ManagerStore } from './store/manager-store.ts';
import type { BeatLog } from './sweep/beat-log.ts';

/** What a manager is made of, for its administration. */
export interface ManagerParts {
  readonly store: ManagerStore;
  readonly fleet: Fleet;
  readonly beats: BeatLog;
  readonly operations: OperationJobs;
  readonly configurations: ConfigurationPush;
  readonly changes: AgentChanges;
  readonly now: () => Date;
  status(): ManagerStatus;
}
