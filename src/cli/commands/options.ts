import { Option } from 'commander';
import { parseProtocolList } from '../arguments.ts';

/** How a command reaches its sidecar, and as whom. */
export interface SidecarArguments {
  readonly sidecar: string;
  readonly tokenFile?: string;
  readonly identity?: string;
}

/** Where the sidecar listens; the offload library has the same variables. */
export function sidecarOption(): Option {
  return new Option('--sidecar <address>', 'unix:PATH or HOST:PORT of the sidecar')
    .env('SIDEKEY_ADDRESS')
    .makeOptionMandatory();
}

export function tokenFileOption(): Option {
  return new Option('--token-file <file>', 'access token for the sidecar').env(
    'SIDEKEY_TOKEN_FILE',
  );
}

export function identityOption(): Option {
  return new Option(
    '--identity <name>',
    'identity to act as; none: the default one of the sidecar',
  ).env('SIDEKEY_IDENTITY');
}

export function alpnOption(description: string): Option {
  return new Option('--alpn <list>', description).argParser(parseProtocolList);
}

/** `--output`, of every command that prints a list. */
export function outputOption(): Option {
  return new Option('--output <format>', 'how to print')
    .choices(['table', 'json'])
    .default('table');
}

/** The options that are there: the library takes an absent one, not an undefined one. */
export function offloadOptions(given: SidecarArguments): {
  readonly address: string;
  readonly tokenFile?: string;
  readonly identity?: string;
} {
  return {
    address: given.sidecar,
    ...(given.tokenFile === undefined ? {} : { tokenFile: given.tokenFile }),
    ...(given.identity === undefined ? {} : { identity: given.identity }),
  };
}
