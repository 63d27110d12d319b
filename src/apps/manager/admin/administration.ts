import type { z } from 'zod';
import type {
  AgentDetail,
  agentsQuery,
  AgentsPage,
  auditPage,
  configurationOrder,
  history,
  Job,
  jobsList,
  jobTargets,
  ManagerStatus,
  modeChange,
  operationOrder,
  pageQuery,
  Registration,
  storedEvents,
  targetsQuery,
} from '../../fleet/admin-api/messages.ts';
import type { Effective, Status } from '../../fleet/agent-api/messages.ts';

/** What a request has to do with whoever made it. */
export interface Order {
  /** `owner`, or the SPIFFE ID of an operator: for the audit log. */
  readonly actor: string;
  /** The same order again is answered as the first time, and done once. */
  readonly idempotencyKey: string | undefined;
}

/** What an administrator can have done to one agent, with a reason. */
export type AgentChange = 'rotate' | 'deactivate' | 'quarantine' | 'release' | 'forget';

type Page = z.output<typeof pageQuery>;

/**
 * Everything administrators can ask of a manager: one method for each of `adminRoutes`. All reject with
 * `AdministrationError`. What changes something resolves when it is durable.
 */
export interface Administration {
  status(): Promise<ManagerStatus>;
  listAgents(query: z.output<typeof agentsQuery>): Promise<AgentsPage>;
  register(registration: Registration, order: Order): Promise<AgentDetail>;
  showAgent(id: string): Promise<AgentDetail>;
  /** Asked of the agent now. */
  agentStatus(id: string): Promise<Status>;
  /** Asked of the agent now. */
  effectiveConfiguration(id: string): Promise<Effective>;
  events(id: string, page: Page): Promise<z.output<typeof storedEvents>>;
  history(id: string): Promise<z.output<typeof history>>;
  /** `bundle` is wiped by the caller; absent: lets in an agent that waits. */
  activate(id: string, bundle: Uint8Array | undefined, order: Order): Promise<AgentDetail>;
  changeMode(id: string, change: z.output<typeof modeChange>, order: Order): Promise<AgentDetail>;
  change(id: string, change: AgentChange, reason: string, order: Order): Promise<AgentDetail>;
  configure(order: z.output<typeof configurationOrder>, by: Order): Promise<Job>;
  listJobs(): Promise<z.output<typeof jobsList>>;
  operate(order: z.output<typeof operationOrder>, by: Order): Promise<Job>;
  showJob(id: string): Promise<Job>;
  jobTargets(
    id: string,
    query: z.output<typeof targetsQuery>,
  ): Promise<z.output<typeof jobTargets>>;
  resumeJob(id: string, order: Order): Promise<Job>;
  audit(page: Page): Promise<z.output<typeof auditPage>>;
}
