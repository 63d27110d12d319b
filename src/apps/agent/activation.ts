import { createHash } from 'node:crypto';
import { OffloadError, OffloadErrorCode } from '../../offload/index.ts';
import type { Activated } from '../fleet/agent-api/messages.ts';
import { AgentError } from './agent-error.ts';
import type { EventSink } from './events/event-spool.ts';
import type { IdentityFacts, IdentityUpkeep } from './identities/identity-state.ts';
import type { AgentRecord } from './state/agent-record.ts';
import type { Surroundings } from './surroundings.ts';

export interface ActivationOptions {
  readonly record: AgentRecord;
  readonly upkeep: IdentityUpkeep;
  /** Name of the identity that enrols. */
  readonly identity: string;
  readonly events: EventSink;
  readonly surroundings: Surroundings;
  /** The state has changed. */
  readonly changed: () => void;
}

/**
 * How an agent becomes a member of the fleet, and ceases to be one. Each step is on disk before the next; whoever comes
 * back after any of them goes on from what the sidecar says.
 */
export class Activation {
  readonly #options: ActivationOptions;
  #running: { readonly key: string; readonly outcome: Promise<Activated> } | undefined;

  #forgetting: Promise<void> | undefined;

  constructor(options: ActivationOptions) {
    this.#options = options;
  }

  /**
   * Has the sidecar enrol with a bundle, once for each key; asked again with the same key, answers the same.
   *
   * @param bundle - wiped here, also when refused
   */
  async activate(key: string, bundle: Uint8Array, manager: string): Promise<Activated> {
    try {
      const { record } = this.#options;
      const bundleHash = createHash('sha256').update(bundle).digest('hex');
      const { activation } = record.data;
      if (activation?.key === key) {
        if (activation.bundleHash !== bundleHash) {
          throw new AgentError(
            'idempotency_key_reused',
            'the idempotency key stands for another bundle',
          );
        }
        if (activation.outcome !== undefined) return { state: 'active', ...activation.outcome };
      }
      if (this.#running !== undefined) {
        if (this.#running.key === key) return await this.#running.outcome;
        throw new AgentError('too_many_requests', 'another activation is under way');
      }
      const outcome = this.#activate(key, bundle, bundleHash, manager);
      this.#running = { key, outcome };
      try {
        return await outcome;
      } finally {
        this.#running = undefined;
      }
    } finally {
      bundle.fill(0);
    }
  }

  /** Whether this is the `activate` that has made us what we are. */
  isRepeated(key: string): boolean {
    const { state, activation } = this.#options.record.data;
    return state === 'active' && activation?.key === key && activation.outcome !== undefined;
  }

  /** What the sidecar says may have come about without us: enrolled by hand, forgotten by hand, or while we were away. */
  async reconcile({ enrolled }: IdentityFacts): Promise<void> {
    const { record, surroundings } = this.#options;
    // Its steps are not to be interfered with.
    if (this.#running !== undefined) return;
    const { state, forgetting, agentId } = record.data;
    if (forgetting) {
      await this.#forget();
      return;
    }
    if (enrolled !== undefined) {
      // Said before the sidecar forgot it.
      if (state === 'deactivated' && enrolled.spiffeId === record.data.forgotten) return;
      if (state === 'active' && agentId === enrolled.spiffeId) return;
      await this.#becomeActive({
        agentId: enrolled.spiffeId,
        notAfter: enrolled.notAfter.toISOString(),
      });
      return;
    }
    if (state !== 'active') return;
    surroundings.log.warn({ agentId }, 'the sidecar has no identity for us any more');
    await record.update(() => ({ state: 'deactivated' }));
    this.#options.changed();
  }

  /** The sidecar destroys our keys; from then on we say hello and nothing else. */
  async deactivate(): Promise<void> {
    const { record, events } = this.#options;
    await record.update(() => ({ state: 'deactivated', forgetting: true }));
    events.add('problem', 'deactivated by its manager');
    this.#options.changed();
    await this.#forget();
  }

  async #activate(
    key: string,
    bundle: Uint8Array,
    bundleHash: string,
    manager: string,
  ): Promise<Activated> {
    const { record, upkeep, identity, surroundings } = this.#options;
    await record.update(() => ({ state: 'activating', activation: { key, bundleHash } }));
    surroundings.log.info({ manager }, 'activation begun');
    let enrolment;
    try {
      enrolment = await upkeep.enroll({ identity, bundle });
    } catch (error) {
      return await this.#enrolFailed(error);
    }
    const outcome = { agentId: enrolment.spiffeId, notAfter: enrolment.notAfter.toISOString() };
    await this.#becomeActive(outcome);
    return { state: 'active', ...outcome };
  }

  async #enrolFailed(error: unknown): Promise<never> {
    const { record, surroundings } = this.#options;
    if (!(error instanceof OffloadError)) throw error;
    surroundings.log.error(
      { code: error.code, reason: error.reason, problem: error.message },
      'enrolment failed',
    );
    if (mayYetSucceed.has(error.code)) {
      // The sidecar goes on trying, and we hear of it.
      throw new AgentError('unavailable', 'the authority or the sidecar cannot be reached', error);
    }
    await record.update(() => ({ state: 'bootstrapped', activation: undefined }));
    throw new AgentError(
      'enrolment_failed',
      `enrolment failed: ${error.reason ?? error.code}`,
      error,
    );
  }

  async #becomeActive(outcome: {
    readonly agentId: string;
    readonly notAfter: string;
  }): Promise<void> {
    const { record, events, surroundings } = this.#options;
    const { agentId } = outcome;
    await record.update(({ activation, state, configuration, agentId: before }) => ({
      state: 'active',
      agentId,
      ...(activation === undefined || state !== 'activating'
        ? {}
        : { activation: { ...activation, outcome } }),
      // What was configured was for another agent.
      configuration:
        before === undefined || before === agentId ? configuration : { version: 0, hash: '' },
    }));
    surroundings.log.info({ agentId }, 'active');
    events.add('activated', `activated as ${agentId}`, { agentId });
    this.#options.changed();
  }

  /** Once at a time: the sidecar tells of it while we wait for its answer. */
  #forget(): Promise<void> {
    this.#forgetting ??= this.#forgetNow().finally(() => {
      this.#forgetting = undefined;
    });
    return this.#forgetting;
  }

  async #forgetNow(): Promise<void> {
    const { record, upkeep, identity, surroundings } = this.#options;
    try {
      await upkeep.forget({ identity });
    } catch (error) {
      if (!(error instanceof OffloadError)) throw error;
      surroundings.log.error(
        { code: error.code, problem: error.message },
        'sidecar did not forget our keys yet',
      );
      throw new AgentError(
        'unavailable',
        'the sidecar did not forget the keys yet; it is asked again',
        error,
      );
    }
    await record.update(({ agentId }) => ({
      forgetting: false,
      forgotten: agentId,
      agentId: undefined,
      activation: undefined,
      configuration: { version: 0, hash: '' },
    }));
    surroundings.log.info('keys are destroyed');
    this.#options.changed();
  }
}

/** The sidecar keeps a bundle it has not got an answer for. */
const mayYetSucceed: ReadonlySet<string> = new Set([
  OffloadErrorCode.unavailable,
  OffloadErrorCode.overloaded,
]);
