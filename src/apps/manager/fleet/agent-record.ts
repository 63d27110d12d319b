import type { Heartbeat } from '../../fleet/agent-api/messages.ts';
import type { AgentConnection } from '../connections/agent-connection.ts';
import type { PeerFacts } from '../connections/peer-facts.ts';
import type { Row } from '../store/schema.ts';

/**
 * One agent in memory. `row` and `labels` are as the store has them: they change only by `Fleet.change`, once that
 * is durable. The rest is of this process, or follows the store in batches.
 */
export interface AgentRecord {
  readonly no: number;
  row: Row<'agent'>;
  labels: Readonly<Record<string, string>>;
  lastSeenAt: number | undefined;
  /** Heartbeats missed in a row. */
  missed: number;
  /** Heartbeats so far, answered or not. */
  beats: number;
  heartbeat: Heartbeat | undefined;
  /** Of the manager's own making, such as a clock that is wrong. */
  problem: string | undefined;
  /** The newest one; it alone is used. */
  connection: AgentConnection | undefined;
  /** Of that connection; absent: it was dialled by the bootstrap key. */
  peer: PeerFacts | undefined;
}

/** States in which an agent is connected to and asked for heartbeats. */
export function isActive({ row }: AgentRecord): boolean {
  return row.state === 'active';
}
