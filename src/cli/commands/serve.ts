import { type Command, Option } from 'commander';
import { type Endpoint, parseListenEndpoint } from '../arguments.ts';
import {
  alpnOption,
  identityOption,
  offloadOptions,
  type SidecarArguments,
  sidecarOption,
  tokenFileOption,
} from './options.ts';

interface ServeArguments extends SidecarArguments {
  readonly listen: Endpoint;
  readonly www: boolean;
  readonly show: boolean;
  readonly clientAuth: 'none' | 'request' | 'require';
  readonly alpn?: readonly string[];
}

/** `sidekey serve`: a TLS server whose handshakes are offloaded, in the manner of `openssl s_server`. */
export function addServeCommand(program: Command): void {
  program
    .command('serve')
    .description('TLS server whose handshakes are made by a sidecar')
    .addOption(sidecarOption())
    .addOption(tokenFileOption())
    .addOption(identityOption())
    .addOption(
      new Option('--listen <host:port>', 'address to listen on; port 0: any free one')
        .argParser(parseListenEndpoint)
        .makeOptionMandatory(),
    )
    .addOption(new Option('--echo', 'send back what is received (the default)').conflicts('www'))
    .addOption(
      new Option('--www', 'answer every HTTP request with a status page, then close').default(
        false,
      ),
    )
    .addOption(
      new Option('--client-auth <mode>', 'whether clients must show a certificate')
        .choices(['none', 'request', 'require'])
        .default('require'),
    )
    .addOption(alpnOption('protocols to accept by ALPN, most preferred first'))
    .option('--show', 'print one JSON line about each connection on standard error', false)
    .action(async (options: ServeArguments) => {
      const { serve } = await import('../serve/serve.ts');
      await serve({
        offload: offloadOptions(options),
        listen: options.listen,
        mode: options.www ? 'www' : 'echo',
        clientAuth: options.clientAuth,
        applicationProtocols: options.alpn ?? [],
        show: options.show,
      });
    });
}
