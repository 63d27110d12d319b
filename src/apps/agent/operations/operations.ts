import { createHash, randomUUID } from 'node:crypto';
import type { Operation } from '../../fleet/agent-api/messages.ts';
import { AgentError } from '../agent-error.ts';
import { placeholders } from '../config-schema.ts';
import type { OperationConfig } from '../config.ts';
import type { EventSink } from '../events/event-spool.ts';
import type { Surroundings } from '../surroundings.ts';
import { type JournalEntry, OperationJournal } from './operation-journal.ts';
import { killLeftBehind } from './process-mark.ts';
import { RunningCommand } from './run-command.ts';

export interface OperationsOptions {
  readonly state: string;
  /** What the owner of this host allows. */
  readonly allowed: ReadonlyMap<string, OperationConfig>;
  /** What the configuration leaves of it; absent: everything. */
  readonly narrowedTo: () => readonly string[] | undefined;
  readonly events: EventSink;
  readonly surroundings: Surroundings;
}

/** Programs run on behalf of managers: those that are allowed, with arguments that fit, once for each idempotency key. */
export class Operations {
  readonly #options: OperationsOptions;
  readonly #journal: OperationJournal;
  readonly #running = new Map<string, RunningOperation>();
  /** End pauses at once. */
  readonly #wakers: (() => void)[] = [];
  #closing = false;

  private constructor(options: OperationsOptions, journal: OperationJournal) {
    this.#options = options;
    this.#journal = journal;
  }

  /** Opens the journal; what was running when the agent last ended is ended, too, and was interrupted. */
  static async open(options: OperationsOptions): Promise<Operations> {
    const operations = new Operations(options, await OperationJournal.open(options.state));
    await operations.#recover();
    return operations;
  }

  /** How many run now. */
  get running(): number {
    return [...this.#running.values()].filter(({ entry }) => entry.state === 'running').length;
  }

  /**
   * Begins an operation, or tells of the one its key stands for. Resolves once it is on disk that it was begun: whatever
   * happens then, it is not run again. Rejects with {@link AgentError}.
   */
  async start(
    key: string,
    name: string,
    given: Readonly<Record<string, string>>,
    manager: string,
  ): Promise<Operation> {
    const requestHash = hashOf(name, given);
    const known = this.#running.get(key)?.entry ?? this.#journal.byKey(key);
    if (known !== undefined) {
      if (known.requestHash !== requestHash) {
        throw new AgentError(
          'idempotency_key_reused',
          'the idempotency key stands for another operation',
        );
      }
      await this.#running.get(key)?.begun;
      return await this.byId(known.id);
    }
    const command = this.#commandFor(name, given);
    this.#requireRoom();
    const operation = new RunningOperation({
      entry: {
        id: randomUUID(),
        key,
        name,
        requestHash,
        state: 'running',
        startedAt: this.#options.surroundings.now().toISOString(),
        output: '',
      },
      begin: async (entry) => {
        await this.#journal.prune(this.#keptSince());
        await this.#journal.write(entry);
      },
    });
    this.#running.set(key, operation);
    try {
      await operation.begun;
    } catch (error) {
      this.#running.delete(key);
      throw error;
    }
    void this.#run(operation, command, manager);
    return view(operation.entry);
  }

  /** Rejects with {@link AgentError} if there is none. */
  async byId(id: string): Promise<Operation> {
    for (const { entry } of this.#running.values()) if (entry.id === id) return view(entry);
    const entry = await this.#journal.byId(id);
    if (entry === undefined) throw new AgentError('not_found', 'there is no such operation');
    return view(entry);
  }

  /** Ends those that run. */
  async close(): Promise<void> {
    this.#closing = true;
    const all = [...this.#running.values()];
    for (const { command } of all) command?.stop('the agent was stopped');
    for (const wake of this.#wakers.splice(0)) wake();
    await Promise.all(all.map(({ ended }) => ended));
    await this.#journal.close();
  }

  async #run(
    operation: RunningOperation,
    { name, timeoutMs, maxOutputBytes, command }: ReadyCommand,
    manager: string,
  ): Promise<void> {
    const { events, surroundings } = this.#options;
    const { id, key } = operation.entry;
    events.add('operation_started', `${name} begun`, { name, id, manager });
    const running = new RunningCommand({
      command,
      timeoutMs,
      maxOutputBytes,
      environment: { SIDEKEY_OPERATION: name, SIDEKEY_OPERATION_ID: id },
      onProgress: (progress) => {
        operation.entry = { ...operation.entry, progress };
      },
    });
    operation.command = running;
    if (this.#closing) running.stop('the agent was stopped');
    await this.#mark(operation, running);
    const { exitCode, output, problem } = await running.outcome;
    const ended: JournalEntry = {
      ...operation.entry,
      process: undefined,
      state:
        this.#closing && problem !== undefined
          ? 'interrupted'
          : exitCode === 0
            ? 'succeeded'
            : 'failed',
      endedAt: surroundings.now().toISOString(),
      ...(exitCode === undefined ? {} : { exitCode }),
      output: withProblem(output, problem, maxOutputBytes),
    };
    operation.entry = ended;
    if (await this.#writeEnd(ended)) this.#tellEnd(ended, problem);
    this.#running.delete(key);
    operation.hasEnded();
  }

  /** Writes down which process it is: without that, nobody could end it after a crash. */
  async #mark(operation: RunningOperation, running: RunningCommand): Promise<void> {
    const { mark } = running;
    if (mark === undefined) return;
    operation.entry = { ...operation.entry, process: mark };
    try {
      await this.#journal.write(operation.entry);
    } catch (error) {
      const { id, name } = operation.entry;
      const { log } = this.#options.surroundings;
      log.error({ err: error, name, id }, 'operation cannot be written down');
      running.stop('the agent cannot keep its journal');
    }
  }

  /** What was done is done, and answered from memory: the disk is asked until it takes it, or we are stopped. */
  async #writeEnd(ended: JournalEntry): Promise<boolean> {
    const { log, timers } = this.#options.surroundings;
    for (let isFirst = true; ; isFirst = false) {
      try {
        await this.#journal.write(ended);
        return true;
      } catch (error) {
        const { id, name } = ended;
        if (isFirst) log.error({ err: error, name, id }, 'end of operation cannot be written down');
        if (this.#closing) return false;
        await new Promise<void>((resolve) => {
          const stop = timers.after(retryMs, resolve);
          this.#wakers.push(() => {
            stop();
            resolve();
          });
        });
      }
    }
  }

  #tellEnd({ name, id, state, exitCode }: JournalEntry, problem?: string): void {
    const { events, surroundings } = this.#options;
    surroundings.log.info({ name, id, state, exitCode, problem }, 'operation ended');
    events.add('operation_ended', `${name} ${state}`, {
      name,
      id,
      state,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(problem === undefined ? {} : { problem }),
    });
  }

  async #recover(): Promise<void> {
    for (const entry of [...this.#journal.entries]) {
      if (entry.state !== 'running') continue;
      if (entry.process !== undefined) killLeftBehind(entry.process);
      const ended: JournalEntry = {
        ...entry,
        process: undefined,
        state: 'interrupted',
        endedAt: this.#options.surroundings.now().toISOString(),
      };
      await this.#journal.write(ended);
      this.#tellEnd(ended);
    }
    await this.#journal.prune(this.#keptSince());
  }

  #keptSince(): Date {
    return new Date(this.#options.surroundings.now().getTime() - keptMs);
  }

  #requireRoom(): void {
    if (this.#closing) throw new AgentError('unavailable', 'the agent is stopping');
    if (this.#running.size >= maxRunning) {
      throw new AgentError('too_many_requests', `${String(maxRunning)} operations run already`);
    }
    if (this.#journal.size >= maxKept) {
      throw new AgentError(
        'too_many_requests',
        `${String(maxKept)} operations of the last days are kept, and no more`,
      );
    }
  }

  #commandFor(name: string, given: Readonly<Record<string, string>>): ReadyCommand {
    const { allowed, narrowedTo } = this.#options;
    const operation = allowed.get(name);
    if (operation === undefined || narrowedTo()?.includes(name) === false) {
      throw new AgentError('operation_not_allowed', 'this operation is not allowed here');
    }
    for (const argument of Object.keys(given)) {
      if (operation.arguments.has(argument)) continue;
      throw new AgentError('malformed_request', 'an argument is given that there is not');
    }
    for (const [argument, pattern] of operation.arguments) {
      const value = Object.hasOwn(given, argument) ? given[argument] : undefined;
      if (value !== undefined && pattern.test(value) && !value.includes('\0')) continue;
      throw new AgentError('malformed_request', `argument ${argument} is missing or not allowed`);
    }
    const [program = '', ...rest] = operation.command;
    return {
      ...operation,
      command: [program, ...rest.map((text) => filledIn(text, given))],
    };
  }
}

type ReadyCommand = OperationConfig & { readonly command: readonly [string, ...string[]] };

/** One that has not ended. */
class RunningOperation {
  entry: JournalEntry;
  readonly begun: Promise<void>;
  readonly ended: Promise<void>;
  command: RunningCommand | undefined;
  #end = (): void => undefined;

  constructor({
    entry,
    begin,
  }: {
    readonly entry: JournalEntry;
    readonly begin: (entry: JournalEntry) => Promise<void>;
  }) {
    this.entry = entry;
    this.begun = begin(entry);
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    // Whoever waits hears of it; if nobody does, nothing was lost.
    this.begun.catch(() => {
      this.#end();
    });
  }

  hasEnded(): void {
    this.#end();
  }
}

function view({
  id,
  name,
  state,
  startedAt,
  endedAt,
  progress,
  exitCode,
  output,
}: JournalEntry): Operation {
  return {
    id,
    name,
    state,
    startedAt,
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(progress === undefined ? {} : { progress }),
    ...(exitCode === undefined ? {} : { exitCode }),
    output,
  };
}

/** A value never becomes an option by standing where one could, whatever its pattern says. */
function filledIn(text: string, given: Readonly<Record<string, string>>): string {
  const filled = text.replaceAll(placeholders, (_all, name: string) => given[name] ?? '');
  if (filled.startsWith('-') && !text.startsWith('-')) {
    throw new AgentError('malformed_request', 'an argument must not begin with a dash');
  }
  return filled;
}

function withProblem(output: string, problem: string | undefined, maxBytes: number): string {
  if (problem === undefined) return output;
  return `${output}${output === '' || output.endsWith('\n') ? '' : '\n'}[${problem}]\n`.slice(
    -maxBytes,
  );
}

function hashOf(name: string, given: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(given).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([name, sorted]))
    .digest('hex');
}

const maxRunning = 4;
/** A key stands for its operation for at least as long. */
const keptMs = 7 * 86_400_000;
const maxKept = 4096;
const retryMs = 5000;
