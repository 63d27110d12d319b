import { type Command, InvalidArgumentError, Option } from 'commander';
import { isLoopback, type ListenAddress, parseListenAddress } from '../../rpc/address.ts';
import { collect, parseCount, parseDuration, parseTargetEndpoint } from '../arguments.ts';
import type { ForwardRole, ForwardTarget } from '../forward/forward.ts';
import {
  alpnOption,
  identityOption,
  offloadOptions,
  type SidecarArguments,
  sidecarOption,
  tokenFileOption,
} from './options.ts';

interface ForwardArguments extends SidecarArguments {
  readonly listen: ListenAddress;
  readonly to: ForwardTarget;
  readonly role: 'client' | 'server';
  readonly servername?: string;
  readonly targetIdentity?: readonly string[];
  readonly anonymous: boolean;
  readonly allowIdentity?: readonly string[];
  readonly dangerouslyAllowAll: boolean;
  readonly dangerouslyPlainRemote: boolean;
  readonly alpn?: readonly string[];
  readonly maxConnections: number;
  readonly drain: number | undefined;
}

/** `sidekey forward`: TLS for programs that can take neither a key nor a socket of ours. */
export function addForwardCommand(program: Command): void {
  program
    .command('forward')
    .description('relay between plain connections of this host and TLS made by a sidecar')
    .addOption(sidecarOption())
    .addOption(tokenFileOption())
    .addOption(identityOption())
    .addOption(
      new Option('--listen <address>', 'ADDRESS:PORT or unix:PATH; port 0: any free one')
        .argParser(parseListen)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--to <address>', 'HOST:PORT or unix:PATH connections go to')
        .argParser(parseTarget)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--role <role>', 'client: plain in, TLS out; server: TLS in, plain out')
        .choices(['client', 'server'])
        .default('client'),
    )
    .option('--servername <name>', 'client: name the certificate must be for; default: HOST')
    .addOption(
      new Option(
        '--target-identity <spiffe-id>',
        'client: SPIFFE ID the server must prove, instead of a name; may be repeated',
      ).argParser(collect),
    )
    .option('--anonymous', 'client: show no certificate even if the server asks', false)
    .addOption(
      new Option(
        '--allow-identity <spiffe-id>',
        'server: SPIFFE ID that may connect, "/*" at its end for any one segment; may be repeated',
      ).argParser(collect),
    )
    .addOption(
      new Option('--dangerously-allow-all', 'server: let in everybody the sidecar trusts')
        .conflicts('allowIdentity')
        .default(false),
    )
    .option(
      '--dangerously-plain-remote',
      'let the plain side leave this host, where anybody can read along',
      false,
    )
    .addOption(alpnOption('protocols for ALPN, most preferred first'))
    .addOption(
      new Option('--max-connections <count>', 'connections at once; more are closed')
        .argParser(parseCount(100_000))
        .default(1024),
    )
    .addOption(
      new Option(
        '--drain <time>',
        'how long connections may go on after SIGTERM, or "never" to end',
      )
        .argParser(parseDuration)
        .default(10_000, '10s'),
    )
    .action(async (options: ForwardArguments, command: Command) => {
      const problem = problemOf(options);
      if (problem !== undefined) command.error(`error: ${problem}`);
      const { forward } = await import('../forward/forward.ts');
      await forward({
        offload: offloadOptions(options),
        listen: options.listen,
        to: options.to,
        side: sideOf(options),
        applicationProtocols: options.alpn ?? [],
        maxConnections: options.maxConnections,
        drainMs: options.drain,
      });
    });
}

function sideOf(options: ForwardArguments): ForwardRole {
  const { role, servername, targetIdentity = [], anonymous, allowIdentity } = options;
  return role === 'client'
    ? { role, servername, targetIdentities: targetIdentity, anonymous }
    : { role, allowedPeers: allowIdentity };
}

/** What is wrong with options that are right one by one. */
function problemOf(options: ForwardArguments): string | undefined {
  const { role, to, allowIdentity, dangerouslyAllowAll } = options;
  const foreign = role === 'client' ? serverOptions(options) : clientOptions(options);
  if (foreign !== undefined) return `option ${foreign} is not for --role ${role}`;
  if (role === 'server' && allowIdentity === undefined && !dangerouslyAllowAll) {
    return '--role server needs --allow-identity: who may connect';
  }
  if (role === 'client' && to.kind === 'unix' && options.servername === undefined) {
    if (options.targetIdentity === undefined) {
      return 'a unix socket has no name: say --servername or --target-identity';
    }
  }
  const plain = role === 'client' ? options.listen : to;
  const name = role === 'client' ? '--listen' : '--to';
  if (options.dangerouslyPlainRemote || isHere(plain)) return undefined;
  return `${name} leaves this host in plain: see --dangerously-plain-remote`;
}

function serverOptions(options: ForwardArguments): string | undefined {
  if (options.allowIdentity !== undefined) return '--allow-identity';
  return options.dangerouslyAllowAll ? '--dangerously-allow-all' : undefined;
}

function clientOptions(options: ForwardArguments): string | undefined {
  if (options.servername !== undefined) return '--servername';
  if (options.targetIdentity !== undefined) return '--target-identity';
  return options.anonymous ? '--anonymous' : undefined;
}

/** A name other than `localhost` may be any host, by tomorrow at the latest. */
function isHere(address: ForwardTarget): boolean {
  if (address.kind === 'unix' || address.host === 'localhost') return true;
  return /^[\d.]+$|:/u.test(address.host) && isLoopback(address);
}

function parseListen(text: string): ListenAddress {
  try {
    return parseListenAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

function parseTarget(text: string): ForwardTarget {
  if (text.startsWith('unix:')) return parseListen(text);
  return { kind: 'tcp', ...parseTargetEndpoint(text) };
}
