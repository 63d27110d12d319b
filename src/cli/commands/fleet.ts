import { type Command, InvalidArgumentError, Option } from 'commander';
import { fleetStates } from '../../apps/fleet/admin-api/messages.ts';
import { type ConnectionMode, connectionModes } from '../../apps/fleet/agent-api/connection.ts';
import { collectProperty, parseLifetime } from '../authority/identifiers.ts';
import { collect, parseCount, parseTargetEndpoint } from '../arguments.ts';
import type { StateChange } from '../fleet/agents.ts';
import type { FleetClient } from '../fleet/client.ts';
import type { OutputFormat } from '../terminal.ts';
import { outputOption } from './options.ts';
import { limitOption } from './token.ts';
import {
  type OperatorArguments,
  serviceAddress,
  serviceOption,
  withOperatorOptions,
} from './service-options.ts';

/** `sidekey fleet …`: what a manager knows and does. `finish` takes the exit code of commands that judge. */
export function addFleetCommand(program: Command, finish: (code: number) => void): void {
  const fleet = program.command('fleet').description('the agents of a manager');
  addStatus(fleet, finish);
  addList(fleet);
  addAgentViews(fleet);
  addRegister(fleet);
  addActivate(fleet);
  for (const [name, description] of Object.entries(changes)) {
    addChange(fleet, name as StateChange, description);
  }
  addMode(fleet);
  addConfigure(fleet, finish);
  addRun(fleet, finish);
  addJobs(fleet, finish);
  addAudit(fleet);
}

interface FleetArguments extends OperatorArguments {
  readonly manager: string;
  readonly managerId?: string;
  readonly output: OutputFormat;
}

function command(fleet: Command, name: string, description: string): Command {
  return withOperatorOptions(
    fleet
      .command(name)
      .description(description)
      .addOption(serviceOption('manager').makeOptionMandatory()),
    'manager',
  ).addOption(outputOption());
}

async function ask<Result>(
  options: FleetArguments,
  command: Command,
  work: (client: FleetClient) => Promise<Result>,
): Promise<Result> {
  const named = { ...options, spiffeId: options.managerId };
  const address = serviceAddress(options.manager, named, command);
  const { withManager } = await import('../fleet/client.ts');
  return await withManager(address, work);
}

function addStatus(fleet: Command, finish: (code: number) => void): void {
  command(fleet, 'status', 'everything at a glance; ends with 1 if anything is wrong').action(
    async (options: FleetArguments, self: Command) => {
      const { showManager } = await import('../fleet/status.ts');
      const healthy = await ask(options, self, (client) => showManager(client, options.output));
      finish(healthy ? 0 : 1);
    },
  );
}

interface ListArguments extends FleetArguments {
  readonly state?: string;
  readonly mode?: string;
  readonly connected?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly limit: number;
}

function addList(fleet: Command): void {
  command(fleet, 'list', 'agents, by their ids')
    .addOption(new Option('--state <state>', 'only in this state').choices([...fleetStates]))
    .addOption(new Option('--mode <mode>', 'only of this mode').choices([...connectionModes]))
    .addOption(new Option('--connected <yes|no>', 'only with, or without').choices(['yes', 'no']))
    .addOption(labelOption('only with this label; may be repeated'))
    .addOption(limitOption())
    .action(async (options: ListArguments, self: Command) => {
      const { listFleet } = await import('../fleet/agents.ts');
      const { state, mode, connected, label = {} } = options;
      await ask(options, self, (client) =>
        listFleet(client, { state, mode, connected, labels: label }, options.limit, options.output),
      );
    });
}

interface PageArguments extends FleetArguments {
  readonly after: number;
  readonly limit: number;
}

function addAgentViews(fleet: Command): void {
  command(fleet, 'show', 'everything the manager knows of one')
    .argument('<agent>', agentIs)
    .action(async (agent: string, options: FleetArguments, self: Command) => {
      const { showFleetAgent } = await import('../fleet/agents.ts');
      await ask(options, self, (client) => showFleetAgent(client, agent, options.output));
    });
  command(fleet, 'look', 'ask an agent for the status of its host, now')
    .argument('<agent>', agentIs)
    .action(async (agent: string, options: FleetArguments, self: Command) => {
      const { showStatus } = await import('../fleet/agents.ts');
      await ask(options, self, (client) => showStatus(client, agent, options.output));
    });
  command(fleet, 'events', 'what happened on its host, oldest first')
    .argument('<agent>', agentIs)
    .addOption(afterOption())
    .addOption(limitOption())
    .action(async (agent: string, options: PageArguments, self: Command) => {
      const { showEvents } = await import('../fleet/agents.ts');
      await ask(options, self, (client) => showEvents(client, agent, options, options.output));
    });
  command(fleet, 'history', 'its last heartbeats, oldest first')
    .argument('<agent>', agentIs)
    .action(async (agent: string, options: FleetArguments, self: Command) => {
      const { showHistory } = await import('../fleet/agents.ts');
      await ask(options, self, (client) => showHistory(client, agent, options.output));
    });
}

interface RegisterArguments extends FleetArguments {
  readonly address: string;
  readonly key: string;
  readonly mode: ConnectionMode;
  readonly label?: Readonly<Record<string, string>>;
}

function addRegister(fleet: Command): void {
  command(fleet, 'register', 'name an agent that the manager is to dial')
    .argument('<name>', 'for people; need not be unique')
    .addOption(addressOption().makeOptionMandatory())
    .addOption(
      new Option('--key <hash>', 'of its bootstrap key, as its sidecar shows it: sha256:HEX')
        .argParser(parseKeyHash)
        .makeOptionMandatory(),
    )
    .addOption(modeOption('who opens connections once it is active').default('manager-initiated'))
    .addOption(labelOption('label of the agent; may be repeated'))
    .action(async (name: string, options: RegisterArguments, self: Command) => {
      const { registerAgent } = await import('../fleet/agents.ts');
      const { address, key, mode, label = {} } = options;
      const body = { name, address, bootstrapKeyHash: key, mode, labels: { ...label } };
      await ask(options, self, (client) => registerAgent(client, body, options.output));
    });
}

function addActivate(fleet: Command): void {
  command(fleet, 'activate', 'let an agent in that waits, or have a registered one enrol')
    .argument('<agent>', agentIs)
    .option('--bundle <file>', 'enrolment bundle for a registered agent, of role agent')
    .action(
      async (
        agent: string,
        options: FleetArguments & { readonly bundle?: string },
        self: Command,
      ) => {
        const { activateAgent } = await import('../fleet/agents.ts');
        await ask(options, self, (client) =>
          activateAgent(client, agent, options.bundle, options.output),
        );
      },
    );
}

function addChange(fleet: Command, name: StateChange, description: string): void {
  command(fleet, name, description)
    .argument('<agent>', agentIs)
    .option('--reason <text>', 'for the audit log', '')
    .action(
      async (
        agent: string,
        options: FleetArguments & { readonly reason: string },
        self: Command,
      ) => {
        const { changeFleetAgent } = await import('../fleet/agents.ts');
        await ask(options, self, (client) =>
          changeFleetAgent(client, agent, name, options.reason, options.output),
        );
      },
    );
}

function addMode(fleet: Command): void {
  command(fleet, 'mode', 'change who opens connections')
    .argument('<agent>', agentIs)
    .addArgument(fleet.createArgument('<mode>').choices([...connectionModes]))
    .addOption(addressOption())
    .action(
      async (
        agent: string,
        mode: ConnectionMode,
        options: FleetArguments & { readonly address?: string },
        self: Command,
      ) => {
        const { changeMode } = await import('../fleet/agents.ts');
        const { address } = options;
        const change = { mode, ...(address === undefined ? {} : { address }) };
        await ask(options, self, (client) => changeMode(client, agent, change, options.output));
      },
    );
}

interface SelectingArguments extends FleetArguments {
  readonly agent?: readonly string[];
  readonly label?: Readonly<Record<string, string>>;
  readonly all?: boolean;
  readonly wait: boolean;
}

/** `--agent`, `--label` or `--all`: work for everybody is asked for in so many letters. */
function selecting(command: Command): Command {
  return command
    .addOption(
      new Option('--agent <agent>', `${agentIs}; may be repeated`).argParser<readonly string[]>(
        collect,
      ),
    )
    .addOption(labelOption('all agents with this label; may be repeated'))
    .option('--all', 'all agents')
    .option('--no-wait', 'do not wait for the end');
}

function selectedBy({ agent = [], label = {}, all = false }: SelectingArguments, self: Command) {
  const some = agent.length > 0 || Object.keys(label).length > 0;
  if (some === all) self.error('error: give --agent or --label, or --all');
  return { agents: agent, labels: label };
}

interface ConfigureArguments extends SelectingArguments {
  readonly file: string;
  readonly lifetime: number;
}

function addConfigure(fleet: Command, finish: (code: number) => void): void {
  selecting(
    command(fleet, 'configure', 'give agents a configuration, sealed for each alone')
      .requiredOption('--file <file>', 'the configuration, JSON')
      .addOption(
        new Option('--lifetime <time>', 'how long the sealed form can be applied')
          .argParser(parseLifetime)
          .default(86_400, '24h'),
      ),
  ).action(async (options: ConfigureArguments, self: Command) => {
    const selected = selectedBy(options, self);
    const { configureFleet } = await import('../fleet/jobs.ts');
    const { file, lifetime, wait } = options;
    const done = await ask(options, self, (client) =>
      configureFleet(client, { file, selected, lifetimeSeconds: lifetime, wait }, options.output),
    );
    finish(done ? 0 : 1);
  });
}

interface RunArguments extends SelectingArguments {
  readonly argument?: Readonly<Record<string, string>>;
  readonly concurrency: number;
  readonly deadline: number;
}

function addRun(fleet: Command, finish: (code: number) => void): void {
  selecting(
    command(fleet, 'run', 'have agents run an operation their own configuration allows')
      .argument('<operation>', 'its name there')
      .addOption(
        new Option('--argument <name=value>', 'argument of it; may be repeated').argParser(
          collectProperty,
        ),
      )
      .addOption(
        new Option('--concurrency <number>', 'agents at a time')
          .argParser(parseCount(1000))
          .default(200),
      )
      .addOption(
        new Option('--deadline <time>', 'for each agent')
          .argParser(parseLifetime)
          .default(300, '5m'),
      ),
  ).action(async (operation: string, options: RunArguments, self: Command) => {
    const selected = selectedBy(options, self);
    const { runOperation } = await import('../fleet/jobs.ts');
    const order = {
      operation,
      arguments: { ...options.argument },
      concurrency: options.concurrency,
      deadlineSeconds: options.deadline,
      selected,
      wait: options.wait,
    };
    const done = await ask(options, self, (client) => runOperation(client, order, options.output));
    finish(done ? 0 : 1);
  });
}

function addJobs(fleet: Command, finish: (code: number) => void): void {
  command(fleet, 'jobs', 'the last hundred, newest first').action(
    async (options: FleetArguments, self: Command) => {
      const { listJobs } = await import('../fleet/jobs.ts');
      await ask(options, self, (client) => listJobs(client, options.output));
    },
  );
  command(fleet, 'job', 'what became of a job, agent by agent')
    .addArgument(fleet.createArgument('<id>', 'of the job').argParser(parseJobId))
    .option('--resume', 'try again what has not succeeded')
    .option('--no-wait', 'do not wait for the end')
    .action(
      async (
        id: string,
        options: FleetArguments & { readonly resume?: boolean; readonly wait: boolean },
        self: Command,
      ) => {
        const { resumeJob, showJob } = await import('../fleet/jobs.ts');
        const done = await ask(options, self, (client) =>
          options.resume === true
            ? resumeJob(client, id, options.wait, options.output)
            : showJob(client, id, options.output),
        );
        finish(done ? 0 : 1);
      },
    );
}

function addAudit(fleet: Command): void {
  command(fleet, 'audit', 'what administrators did, newest first')
    .addOption(afterOption())
    .addOption(limitOption())
    .action(async (options: PageArguments, self: Command) => {
      const { listFleetAudit } = await import('../fleet/status.ts');
      await ask(options, self, (client) => listFleetAudit(client, options, options.output));
    });
}

function labelOption(description: string): Option {
  return new Option('--label <name=value>', description).argParser(collectProperty);
}

function addressOption(): Option {
  return new Option('--address <host:port>', "of the agent's listener").argParser(
    (text: string) => {
      parseTargetEndpoint(text);
      return text;
    },
  );
}

function modeOption(description: string): Option {
  return new Option('--mode <mode>', description).choices([...connectionModes]);
}

function afterOption(): Option {
  return new Option('--after <number>', 'only what comes after this one')
    .argParser((text: string) => {
      if (/^\d{1,15}$/u.test(text)) return Number(text);
      throw new InvalidArgumentError('expected a whole number');
    })
    .default(0);
}

function parseKeyHash(text: string): string {
  const hex = /^(?:sha256:)?([0-9a-f]{64})$/iu.exec(text)?.[1];
  if (hex === undefined)
    throw new InvalidArgumentError('expected sha256: and 64 hexadecimal digits');
  return hex.toLowerCase();
}

function parseJobId(text: string): string {
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('expected a UUID');
}

const agentIs = 'its id, its SPIFFE ID, or its name';

const changes: Readonly<Record<StateChange, string>> = {
  rotate: 'have it renew its certificate now',
  deactivate: 'have it forget its keys; it can be activated anew',
  quarantine: 'send it nothing until it is released',
  release: 'end a quarantine',
  forget: 'drop everything the manager knows of it',
};
