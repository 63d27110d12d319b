import { type Command, Option } from 'commander';
import type { AgentAction } from '../../gen/sidekey/v1/administration.ts';
import type { RevokedAgents } from '../authority/agents.ts';
import {
  type AgentName,
  parseAgentName,
  parseId,
  parseLifetime,
} from '../authority/identifiers.ts';
import {
  administer,
  type AuthorityArguments,
  type PrintingArguments,
  withAuthorityOptions,
  withPrintingOptions,
} from './authority-options.ts';
import { batchOption, limitOption, propertyOption } from './token.ts';

/** `sidekey agents list | show | activate | suspend | resume | release | retire | revoke | recover`. */
export function addAgentsCommand(program: Command): void {
  const agents = program.command('agents').description('everything that has enrolled');
  addList(agents);
  addShow(agents);
  for (const [name, { action, description }] of Object.entries(actions)) {
    addAction(agents, name, action, description);
  }
  addRevoke(agents);
  addRecover(agents);
}

interface ListArguments extends PrintingArguments {
  readonly role?: string;
  readonly state?: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly endsWithin?: number;
  readonly limit: number;
}

function addList(agents: Command): void {
  withPrintingOptions(agents.command('list').description('agents, the latest enrolled first'))
    .addOption(
      new Option('--role <role>', 'only of this role').choices([
        'authority',
        'manager',
        'agent',
        'service',
        'operator',
      ]),
    )
    .addOption(
      new Option('--state <state>', 'only in this state').choices([
        'enrolled',
        'active',
        'suspended',
        'quarantined',
        'banned',
        'retired',
      ]),
    )
    .addOption(propertyOption())
    .addOption(endsWithinOption())
    .addOption(limitOption())
    .action(async (options: ListArguments, command: Command) => {
      const { listAgents } = await import('../authority/agents.ts');
      const filter = {
        role: options.role,
        state: options.state,
        properties: options.property ?? {},
        endsWithinSeconds: options.endsWithin,
      };
      await administer(options, command, (client) =>
        listAgents(client, filter, options.limit, options.output),
      );
    });
}

function addShow(agents: Command): void {
  withPrintingOptions(agents.command('show').description('everything about one'))
    .addArgument(agentArgument(agents))
    .action(async (name: AgentName, options: PrintingArguments, command: Command) => {
      const { showAgent } = await import('../authority/agents.ts');
      await administer(options, command, (client) => showAgent(client, name, options.output));
    });
}

interface ActionArguments extends PrintingArguments {
  readonly reason: string;
}

function addAction(agents: Command, name: string, action: AgentAction, description: string): void {
  withPrintingOptions(agents.command(name).description(description))
    .addArgument(agentArgument(agents))
    .option('--reason <text>', 'for the audit log', '')
    .action(async (agent: AgentName, options: ActionArguments, command: Command) => {
      const { changeAgent } = await import('../authority/agents.ts');
      await administer(options, command, (client) =>
        changeAgent(client, agent, action, options.reason, options.output),
      );
    });
}

interface RevokeArguments extends PrintingArguments {
  readonly token?: Buffer;
  readonly batch?: Buffer;
  readonly reason: string;
  readonly comment: string;
}

function addRevoke(agents: Command): void {
  withPrintingOptions(
    agents
      .command('revoke')
      .description('for good, with certificates and tokens: one, or all who came from tokens'),
  )
    .addArgument(agentArgument(agents).argOptional())
    .addOption(new Option('--token <id>', 'who came from this token').argParser(parseId))
    .addOption(batchOption())
    .addOption(revocationReasonOption())
    .addOption(commentOption())
    .action(async (name: AgentName | undefined, options: RevokeArguments, command: Command) => {
      const { token, batch, reason, comment, output } = options;
      const given: readonly RevokedAgents[] = [
        ...(name === undefined ? [] : [{ kind: 'agent', name } as const]),
        ...(token === undefined ? [] : [{ kind: 'token', id: token } as const]),
        ...(batch === undefined ? [] : [{ kind: 'batch', id: batch } as const]),
      ];
      const [of, ...others] = given;
      if (of === undefined || others.length > 0) {
        command.error('error: give one of: an agent, --token, --batch');
      }
      const { revokeAgents } = await import('../authority/agents.ts');
      await administer(options, command, (client) =>
        revokeAgents(client, of, reason, comment, output),
      );
    });
}

interface RecoverArguments extends AuthorityArguments {
  readonly out: string;
  readonly ttl: number;
  readonly reason: string;
}

function addRecover(agents: Command): void {
  withAuthorityOptions(
    agents
      .command('recover')
      .description('write a bundle with which an agent that lost its keys becomes itself again'),
  )
    .addArgument(agentArgument(agents))
    .requiredOption('--out <dir>', 'directory for the bundle; made if it is not there')
    .addOption(
      new Option('--ttl <time>', 'how long it can be used')
        .argParser(parseLifetime)
        .default(86_400, '24h'),
    )
    .requiredOption('--reason <text>', 'for the audit log')
    .action(async (name: AgentName, options: RecoverArguments, command: Command) => {
      const { recoverAgent } = await import('../authority/agents.ts');
      const { out, ttl, reason } = options;
      await administer(options, command, (client) =>
        recoverAgent(client, name, { directory: out, lifetimeSeconds: ttl, reason }),
      );
    });
}

/** `--reason` of a revocation. */
export function revocationReasonOption(): Option {
  return new Option('--reason <reason>', 'as CRLs and OCSP answers give it')
    .choices([
      'unspecified',
      'keyCompromise',
      'affiliationChanged',
      'superseded',
      'cessationOfOperation',
      'privilegeWithdrawn',
    ])
    .default('unspecified');
}

export function commentOption(): Option {
  return new Option('--comment <text>', 'for the audit log').default('');
}

/** Search for what ends soon. */
export function endsWithinOption(): Option {
  return new Option(
    '--ends-within <time>',
    'only if its certificate ends within this time, such as 6h',
  ).argParser(parseLifetime);
}

function agentArgument(agents: Command) {
  return agents
    .createArgument('<agent>', 'its UUID or SPIFFE ID')
    .argParser<AgentName>(parseAgentName);
}

/** Values of `AgentAction`, which is loaded only to make a call. */
const actions: Readonly<
  Record<string, { readonly action: AgentAction; readonly description: string }>
> = {
  activate: { action: 1, description: 'let it do everything it enrolled for' },
  suspend: { action: 2, description: 'no renewals until it is resumed' },
  resume: { action: 3, description: 'end a suspension' },
  quarantine: { action: 4, description: 'as when two holders of one identity were seen' },
  release: { action: 5, description: 'end a quarantine' },
  retire: { action: 6, description: 'for good: it has left the fleet' },
};
