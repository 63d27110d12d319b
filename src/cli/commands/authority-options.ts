import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseSpiffeId } from '../../pki/spiffe-id.ts';
import type { AuthorityAddress, AuthorityClient } from '../authority/client.ts';
import { parseTargetEndpoint } from '../arguments.ts';
import type { OutputFormat } from '../terminal.ts';
import { identityOption, outputOption, tokenFileOption } from './options.ts';

/** How a command reaches the authority. */
export interface AuthorityArguments {
  readonly authority: string;
  readonly authorityId?: string;
  readonly sidecar?: string;
  readonly tokenFile?: string;
  readonly identity?: string;
}

/** Of commands that print. */
export interface PrintingArguments extends AuthorityArguments {
  readonly output: OutputFormat;
}

/** Adds the options by which every command about the fleet finds its authority. */
export function withAuthorityOptions(command: Command): Command {
  return command
    .addOption(authorityOption().makeOptionMandatory())
    .addOption(
      new Option(
        '--authority-id <spiffe-id>',
        'SPIFFE ID the authority must prove at HOST:PORT; none: a certificate for HOST',
      ).argParser((text: string) => {
        if (parseSpiffeId(text) !== undefined) return text;
        throw new InvalidArgumentError('expected spiffe://TRUST-DOMAIN/PATH');
      }),
    )
    .addOption(
      new Option('--sidecar <address>', 'sidecar with the operator identity, for HOST:PORT').env(
        'SIDEKEY_ADDRESS',
      ),
    )
    .addOption(tokenFileOption())
    .addOption(identityOption());
}

/** Where the authority is administered. */
export function authorityOption(): Option {
  return new Option(
    '--authority <address>',
    'unix:PATH of the administration socket, or HOST:PORT (needs --sidecar with an operator identity)',
  )
    .env('SIDEKEY_AUTHORITY')
    .argParser(checkAddress);
}

/** The same for commands that print. */
export function withPrintingOptions(command: Command): Command {
  return withAuthorityOptions(command).addOption(outputOption());
}

/** Runs one command against the authority its options name; loads what that takes first. */
export async function administer(
  options: AuthorityArguments,
  command: Command,
  work: (client: AuthorityClient) => Promise<void>,
): Promise<void> {
  const address = authorityAddress(options, command);
  const { withAuthority } = await import('../authority/client.ts');
  await withAuthority(address, work);
}

/** Where to connect to. Complains through `command` if what is needed beside HOST:PORT is missing. */
function authorityAddress(given: AuthorityArguments, command: Command): AuthorityAddress {
  const path = unixPath(given.authority);
  if (path !== undefined) return { kind: 'unix', path };
  if (given.sidecar === undefined) {
    return command.error('error: --authority HOST:PORT needs --sidecar');
  }
  return {
    kind: 'tcp',
    ...parseTargetEndpoint(given.authority),
    spiffeId: given.authorityId,
    sidecar: {
      address: given.sidecar,
      ...(given.tokenFile === undefined ? {} : { tokenFile: given.tokenFile }),
      ...(given.identity === undefined ? {} : { identity: given.identity }),
    },
  };
}

function checkAddress(text: string): string {
  if (unixPath(text) === undefined) parseTargetEndpoint(text);
  return text;
}

function unixPath(text: string): string | undefined {
  return /^unix:(?:\/\/(?=\/))?(.+)$/u.exec(text)?.[1];
}
