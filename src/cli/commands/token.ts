import { type Command, InvalidArgumentError, Option } from 'commander';
import { collectProperty, parseId, parseLifetime } from '../authority/identifiers.ts';
import { parseCount } from '../arguments.ts';
import { administer, type PrintingArguments, withPrintingOptions } from './authority-options.ts';

/** `sidekey token create | list | show | revoke`. */
export function addTokenCommand(program: Command): void {
  const token = program.command('token').description('tokens and bundles for hosts to enrol with');
  addCreate(token);
  addList(token);
  addShow(token);
  addRevoke(token);
}

interface CreateArguments extends PrintingArguments {
  readonly role: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly ttl: number;
  readonly count: number;
  readonly cap: number;
  readonly policy?: string;
  readonly out: string;
  readonly name?: string;
}

function addCreate(token: Command): void {
  withPrintingOptions(
    token
      .command('create')
      .description('mint tokens and write a bundle file for each (0600, none is ever replaced)'),
  )
    .addOption(
      new Option('--role <role>', 'what becomes of the hosts')
        .choices(['agent', 'manager', 'service', 'operator'])
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--property <name=value>', 'property of the tokens; may be repeated').argParser(
        collectProperty,
      ),
    )
    .addOption(
      new Option('--ttl <time>', 'how long they can be used, such as 30m, 24h, 7d')
        .argParser(parseLifetime)
        .default(86_400, '24h'),
    )
    .addOption(new Option('--count <number>', 'how many').argParser(parseCount(100_000)).default(1))
    .addOption(
      new Option('--cap <number>', 'hosts that can enrol with each')
        .argParser(parseCount(1_000_000))
        .default(1),
    )
    .option('--policy <name>', 'policy to issue by; none: chosen by role and properties')
    .requiredOption('--out <dir>', 'directory for the bundles; made if it is not there')
    .addOption(
      new Option('--name <name>', 'names the files NAME.bundle; none: by the tokens').argParser(
        (name: string) => {
          if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u.test(name)) return name;
          throw new InvalidArgumentError(
            'expected up to 64 letters, digits, dots, dashes, underscores',
          );
        },
      ),
    )
    .action(async (options: CreateArguments, command: Command) => {
      const { createTokens } = await import('../authority/tokens.ts');
      await administer(options, command, (client) =>
        createTokens(
          client,
          {
            role: options.role,
            properties: options.property ?? {},
            lifetimeSeconds: options.ttl,
            count: options.count,
            cap: options.cap,
            policy: options.policy ?? '',
            directory: options.out,
            name: options.name,
          },
          options.output,
        ),
      );
    });
}

interface ListArguments extends PrintingArguments {
  readonly batch?: Buffer;
  readonly state?: string;
  readonly property?: Readonly<Record<string, string>>;
  readonly limit: number;
}

function addList(token: Command): void {
  withPrintingOptions(token.command('list').description('tokens, newest first'))
    .addOption(batchOption())
    .addOption(
      new Option('--state <state>', 'only in this state').choices([
        'usable',
        'spent',
        'revoked',
        'expired',
      ]),
    )
    .addOption(propertyOption())
    .addOption(limitOption())
    .action(async (options: ListArguments, command: Command) => {
      const { listTokens } = await import('../authority/tokens.ts');
      const filter = {
        batch: options.batch,
        state: options.state,
        properties: options.property ?? {},
      };
      await administer(options, command, (client) =>
        listTokens(client, filter, options.limit, options.output),
      );
    });
}

function addShow(token: Command): void {
  withPrintingOptions(token.command('show').description('everything about one token'))
    .addArgument(token.createArgument('<id>', 'of the token').argParser(parseId))
    .action(async (id: Buffer, options: PrintingArguments, command: Command) => {
      const { showToken } = await import('../authority/tokens.ts');
      await administer(options, command, (client) => showToken(client, id, options.output));
    });
}

interface RevokeArguments extends PrintingArguments {
  readonly batch?: Buffer;
  readonly property?: Readonly<Record<string, string>>;
  readonly reason: string;
}

function addRevoke(token: Command): void {
  withPrintingOptions(
    token
      .command('revoke')
      .description('nobody enrols with them any more; who has, stays (see agents revoke)'),
  )
    .addArgument(token.createArgument('[id]', 'of the token').argParser(parseId))
    .addOption(batchOption())
    .addOption(propertyOption())
    .option('--reason <text>', 'for the audit log', '')
    .action(async (id: Buffer | undefined, options: RevokeArguments, command: Command) => {
      const { batch, property } = options;
      if ([id, batch, property].filter((given) => given !== undefined).length !== 1) {
        command.error('error: give one of: an id, --batch, --property');
      }
      const { revokeTokens } = await import('../authority/tokens.ts');
      const selection = {
        ...(id === undefined ? {} : { id }),
        ...(batch === undefined ? {} : { batch }),
        ...(property === undefined ? {} : { properties: property }),
      };
      await administer(options, command, (client) =>
        revokeTokens(client, selection, options.reason, options.output),
      );
    });
}

/** Tokens, or those who came from them, by batch. */
export function batchOption(): Option {
  return new Option('--batch <id>', 'tokens that were minted together').argParser(parseId);
}

/** Search by property. */
export function propertyOption(): Option {
  return new Option(
    '--property <name=value>',
    'only with this property; may be repeated',
  ).argParser(collectProperty);
}

/** How long a list may be. */
export function limitOption(): Option {
  return new Option('--limit <number>', 'how many at the most')
    .argParser(parseCount(1_000_000))
    .default(1000);
}
