import { toHex } from '../../../bytes/bytes.ts';
import { OffloadError, parseSidekeyId } from '../../../offload/index.ts';
import type { AgentConfiguration } from '../../fleet/agent-api/configuration.ts';
import type { Configured, Effective } from '../../fleet/agent-api/messages.ts';
import {
  admitVersion,
  ConfigurationRefusedError,
  type ConfigurationOpener,
  openConfiguration,
  type OpenedConfiguration,
} from '../../fleet/configuration/index.ts';
import { AgentError } from '../agent-error.ts';
import type { AgentConfig } from '../config.ts';
import type { EventSink } from '../events/event-spool.ts';
import { killLeftBehind, type ProcessMark } from '../operations/process-mark.ts';
import { RunningCommand } from '../operations/run-command.ts';
import type { AgentRecord } from '../state/agent-record.ts';
import type { Surroundings } from '../surroundings.ts';
import { type ConfigurationId, ConfigurationStore } from './configuration-store.ts';
import { NotAcceptableError, readConfiguration } from './local-limits.ts';

export interface ConfigurationsOptions {
  readonly config: AgentConfig;
  readonly record: AgentRecord;
  readonly opener: ConfigurationOpener;
  readonly events: EventSink;
  readonly surroundings: Surroundings;
  /** Another one is in force; absent: none. */
  readonly inForce: (configuration: AgentConfiguration | undefined, id: ConfigurationId) => void;
}

/**
 * The configuration a manager gives: opened, checked, staged, applied, and in force only when that went well; otherwise the
 * one before is. At any moment one of the two is in force as a whole.
 */
export class Configurations {
  readonly #options: ConfigurationsOptions;
  readonly #store: ConfigurationStore;
  #current: AgentConfiguration | undefined;
  #busy = false;
  #damaged = false;

  private constructor(options: ConfigurationsOptions, store: ConfigurationStore) {
    this.#options = options;
    this.#store = store;
  }

  /** Finds what is in force; one that was being applied is rolled back. */
  static async open(options: ConfigurationsOptions): Promise<Configurations> {
    const store = await ConfigurationStore.open(options.config.state);
    const configurations = new Configurations(options, store);
    await configurations.#recover();
    return configurations;
  }

  /** Absent: none is in force. */
  get current(): AgentConfiguration | undefined {
    return this.#current;
  }

  get problems(): readonly string[] {
    return this.#damaged ? ['the configuration on disk is damaged'] : [];
  }

  /** What is in force, without what is secret. */
  effective(): Effective {
    const { version, hash, appliedAt } = this.#options.record.data.configuration;
    const content =
      this.#current === undefined
        ? null
        : {
            ...this.#current,
            secrets: Object.fromEntries(
              Object.keys(this.#current.secrets).map((name) => [name, redacted]),
            ),
          };
    return {
      configuration: { version, hash },
      ...(appliedAt === undefined ? {} : { appliedAt }),
      content,
    };
  }

  /** Rejects with {@link AgentError}. Once begun, it is ended one way or the other, whoever waits. */
  async apply(der: Uint8Array): Promise<Configured> {
    if (this.#busy) {
      throw new AgentError('too_many_requests', 'another configuration is being applied');
    }
    this.#busy = true;
    try {
      return await this.#apply(der);
    } finally {
      this.#busy = false;
      await this.#leaveIfDeactivated();
    }
  }

  /** Ends what there is when we are no longer whom it was for. */
  async follow(): Promise<void> {
    const { version, hash } = this.#options.record.data.configuration;
    if (version !== 0 || this.#busy) return;
    const none = { version, hash };
    await this.#store.putInForce(none);
    await this.#store.keepOnly([]);
    if (this.#current === undefined) return;
    this.#current = undefined;
    this.#options.inForce(undefined, none);
  }

  /** Deactivated meanwhile: what was configured goes as well. */
  async #leaveIfDeactivated(): Promise<void> {
    const { record } = this.#options;
    if (record.data.state === 'active') return;
    await record.update(() => ({ configuration: { version: 0, hash: '' } }));
    await this.follow();
  }

  async #apply(der: Uint8Array): Promise<Configured> {
    const { config, record } = this.#options;
    const opened = await this.#open(der);
    const offered = { version: opened.version, hash: toHex(opened.contentHash) };
    const { version, hash } = record.data.configuration;
    const current = version === 0 ? undefined : { version, contentHash: Buffer.from(hash, 'hex') };
    switch (admitVersion(current, opened)) {
      case 'older':
        throw this.#refuse(
          'older',
          `version ${String(offered.version)} is older than ${String(version)}`,
        );
      case 'conflict':
        throw this.#refuse(
          'conflict',
          `two configurations have version ${String(version)}`,
          opened,
        );
      case 'unchanged':
        if (!this.#damaged) return { outcome: 'unchanged', configuration: offered };
        break;
      case 'apply':
        break;
    }
    let configuration;
    try {
      configuration = readConfiguration(opened.content, config.files.allow);
    } catch (error) {
      if (!(error instanceof NotAcceptableError)) throw error;
      throw this.#refuse('not_acceptable', error.message, opened);
    }
    await this.#store.stage(offered, opened.content, configuration.secrets);
    opened.content.fill(0);
    await this.#putInForce(offered, configuration, opened.signer);
    return { outcome: 'applied', configuration: offered };
  }

  async #open(der: Uint8Array): Promise<OpenedConfiguration> {
    const { config, opener, record, surroundings } = this.#options;
    const agentId = parseSidekeyId(record.data.agentId)?.uuid;
    if (agentId === undefined) throw new AgentError('unavailable', 'this agent has no id');
    const now = surroundings.now();
    try {
      const { identity } = config;
      return await openConfiguration({ der, agentId, now, workload: opener, identity });
    } catch (error) {
      if (error instanceof ConfigurationRefusedError)
        throw this.#refuse(error.reason, error.detail);
      if (!(error instanceof OffloadError)) throw error;
      throw new AgentError('unavailable', `the sidecar does not open it: ${error.code}`, error);
    }
  }

  async #putInForce(
    next: ConfigurationId,
    configuration: AgentConfiguration,
    signer: string,
  ): Promise<void> {
    const { record, events, surroundings } = this.#options;
    const { version, hash } = record.data.configuration;
    await record.update((data) => ({ configuration: { ...data.configuration, applying: next } }));
    const problem = await this.#takeOver(next);
    if (problem !== undefined) {
      await this.#rollBack(next, problem);
      throw new AgentError('configuration_rolled_back', `not applied: ${problem}`);
    }
    this.#current = configuration;
    this.#damaged = false;
    this.#options.inForce(configuration, next);
    surroundings.log.info({ ...next, signer }, 'configuration applied');
    events.add('configuration_applied', `version ${String(next.version)} is in force`, {
      ...next,
      signer,
    });
    await this.#store.keepOnly([next, { version, hash }]);
  }

  /** Makes one the one in force; answers why it is not. */
  async #takeOver(next: ConfigurationId): Promise<string | undefined> {
    const { record, surroundings } = this.#options;
    const problem = await this.#runHook(next, async (process) => {
      const applying = { ...next, process };
      await record.update((data) => ({ configuration: { ...data.configuration, applying } }));
    });
    if (problem !== undefined) return problem;
    try {
      await this.#store.putInForce(next);
      await record.update(() => ({
        configuration: { ...next, appliedAt: surroundings.now().toISOString() },
      }));
      return undefined;
    } catch (error) {
      surroundings.log.error({ err: error }, 'configuration cannot be written down');
      return 'it cannot be written down';
    }
  }

  /** The one before is in force again, and whoever uses it is told so. */
  async #rollBack(failed: ConfigurationId, problem: string): Promise<void> {
    const { record, events, surroundings } = this.#options;
    const { version, hash, appliedAt } = record.data.configuration;
    const before = { version, hash };
    await this.#store.putInForce(before);
    const second = await this.#runHook(before);
    await record.update(() => ({
      configuration: { ...before, ...(appliedAt === undefined ? {} : { appliedAt }) },
    }));
    await this.#store.keepOnly([before]);
    surroundings.log.error(
      { version: failed.version, problem, again: second },
      'configuration rolled back',
    );
    events.add('configuration_rolled_back', `version ${String(failed.version)}: ${problem}`, {
      version: failed.version,
      inForce: version,
      problem,
      ...(second === undefined ? {} : { rollback: second }),
    });
  }

  async #recover(): Promise<void> {
    const { record, config } = this.#options;
    const { applying, version, hash } = record.data.configuration;
    if (applying !== undefined) {
      // It would go on taking over what is given up here.
      if (applying.process !== undefined) killLeftBehind(applying.process);
      await this.#rollBack(applying, 'the agent was interrupted');
    }
    const id = { version, hash };
    if (version === 0) {
      await this.follow();
      return;
    }
    const content = await this.#store.read(id);
    if (content === undefined) {
      this.#lost('its content is missing or changed', id);
      return;
    }
    try {
      this.#current = readConfiguration(content, config.files.allow);
      this.#options.inForce(this.#current, id);
    } catch (error) {
      if (!(error instanceof NotAcceptableError)) throw error;
      // What its owner allows has changed since.
      this.#lost(error.message, id);
    }
  }

  #lost(problem: string, { version }: ConfigurationId): void {
    const { events, surroundings } = this.#options;
    this.#damaged = true;
    surroundings.log.error({ version, problem }, 'configuration on disk cannot be used');
    events.add('problem', `configuration ${String(version)} on disk cannot be used`, { problem });
  }

  /** Has the owner's program take a configuration over, once `begun` knows which process it is; answers why it did not. */
  async #runHook(
    id: ConfigurationId,
    begun?: (process: ProcessMark) => Promise<void>,
  ): Promise<string | undefined> {
    const { apply } = this.#options.config;
    const [program, ...rest] = apply?.command ?? [];
    if (apply === undefined || program === undefined) return undefined;
    const running = new RunningCommand({
      command: [program, ...rest],
      timeoutMs: apply.timeoutMs,
      maxOutputBytes: 4096,
      environment: {
        SIDEKEY_CONFIGURATION_VERSION: String(id.version),
        SIDEKEY_CONFIGURATION: id.version === 0 ? '' : this.#store.directoryOf(id),
      },
    });
    const { mark } = running;
    if (mark !== undefined) {
      await begun?.(mark).catch((error: unknown) => {
        this.#options.surroundings.log.error(
          { err: error },
          'apply command cannot be written down',
        );
        running.stop('cannot be written down');
      });
    }
    const { exitCode, output, problem } = await running.outcome;
    if (exitCode === 0) return undefined;
    this.#options.surroundings.log.warn(
      { version: id.version, exitCode, problem, output },
      'apply command failed',
    );
    return `apply command ${problem ?? `ended with ${String(exitCode)}`}`;
  }

  /** One answer for everything that is wrong with it; the log and the event have the reason. */
  #refuse(reason: string, detail: string, opened?: OpenedConfiguration): AgentError {
    const { events, surroundings } = this.#options;
    opened?.content.fill(0);
    const level = reason === 'conflict' ? 'error' : 'warn';
    surroundings.log[level]({ reason, detail, signer: opened?.signer }, 'configuration refused');
    events.add('configuration_refused', `refused: ${reason}`, { reason, detail });
    return new AgentError('configuration_refused', 'the configuration is refused');
  }
}

const redacted = '[kept]';
