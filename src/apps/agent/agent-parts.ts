import type { ConnectionMode } from '../fleet/agent-api/connection.ts';
import type { Activation } from './activation.ts';
import type { FileWatch } from './collectors/file-watch.ts';
import type { PortWatch } from './collectors/port-watch.ts';
import type { AgentConfig } from './config.ts';
import type { Configurations } from './configuration/configurations.ts';
import type { Connectivity } from './connections/connectivity.ts';
import type { EventSpool } from './events/event-spool.ts';
import type { IdentityState, IdentityUpkeep } from './identities/identity-state.ts';
import type { Operations } from './operations/operations.ts';
import type { AgentRecord } from './state/agent-record.ts';
import type { Surroundings } from './surroundings.ts';

/** What an agent is made of, for its verbs. */
export interface AgentParts {
  readonly config: AgentConfig;
  readonly surroundings: Surroundings;
  readonly startedAt: Date;
  readonly record: AgentRecord;
  readonly spool: EventSpool;
  readonly identities: IdentityState;
  readonly upkeep: IdentityUpkeep;
  readonly activation: Activation;
  readonly connectivity: Connectivity;
  readonly operations: Operations;
  readonly configurations: Configurations;
  readonly files: FileWatch;
  readonly ports: PortWatch;
  /** As a manager has set them, or else as the file says. */
  readonly connectionSettings: () => ConnectionSettings;
  /** Connections are to follow what has changed. */
  readonly reconnect: () => Promise<void>;
}

export interface ConnectionSettings {
  readonly mode: ConnectionMode;
  readonly managers: readonly string[];
}
