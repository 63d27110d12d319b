import { type Command, Option } from 'commander';
import {
  collect,
  type Endpoint,
  parseCount,
  parseDuration,
  parseTargetEndpoint,
} from '../arguments.ts';
import {
  alpnOption,
  identityOption,
  offloadOptions,
  type SidecarArguments,
  sidecarOption,
  tokenFileOption,
} from './options.ts';

interface ConnectArguments extends SidecarArguments {
  readonly servername?: string;
  readonly alpn?: readonly string[];
  readonly targetIdentity?: readonly string[];
  readonly anonymous: boolean;
  readonly show: boolean;
  readonly times: number;
  readonly closeAfter: number | undefined;
}

/** `sidekey connect`: a TLS client whose handshake is offloaded, in the manner of `openssl s_client -quiet`. */
export function addConnectCommand(program: Command): void {
  program
    .command('connect')
    .description('TLS client whose handshake is made by a sidecar: stdin to peer, peer to stdout')
    .addArgument(program.createArgument('<host:port>', 'TLS server').argParser(parseTargetEndpoint))
    .addOption(sidecarOption())
    .addOption(tokenFileOption())
    .addOption(identityOption())
    .option('--servername <name>', 'name the certificate must be for; default: HOST')
    .addOption(
      new Option(
        '--target-identity <spiffe-id>',
        'SPIFFE ID the server must prove, instead of a name; may be repeated',
      ).argParser(collect),
    )
    .addOption(
      new Option('--anonymous', 'show no certificate even if the server asks')
        .conflicts('identity')
        .default(false),
    )
    .addOption(alpnOption('protocols to offer by ALPN, most preferred first'))
    .option('--show', 'print one JSON line about the connection on standard error', false)
    .addOption(
      new Option(
        '--times <count>',
        'connect this often, one after the other, each with all of stdin',
      )
        .argParser(parseCount(1000))
        .default(1),
    )
    .addOption(
      new Option(
        '--close-after <time>',
        'once stdin has ended, close when the peer was silent this long; "never" leaves it to the peer',
      )
        .argParser(parseDuration)
        .default(1000, '1s'),
    )
    .action(async (target: Endpoint, options: ConnectArguments) => {
      const { connectTimes } = await import('../connect/connect.ts');
      await connectTimes({
        offload: offloadOptions(options),
        target,
        servername: options.servername,
        targetIdentities: options.targetIdentity ?? [],
        applicationProtocols: options.alpn ?? [],
        anonymous: options.anonymous,
        show: options.show,
        times: options.times,
        closeAfterMs: options.closeAfter,
      });
    });
}
