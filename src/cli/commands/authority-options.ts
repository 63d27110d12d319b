import type { Command, Option } from 'commander';
import type { AuthorityClient } from '../authority/client.ts';
import type { OutputFormat } from '../terminal.ts';
import { outputOption } from './options.ts';
import {
  type OperatorArguments,
  serviceAddress,
  serviceOption,
  withOperatorOptions,
} from './service-options.ts';

/** How a command reaches the authority. */
export interface AuthorityArguments extends OperatorArguments {
  readonly authority: string;
  readonly authorityId?: string;
}

/** Of commands that print. */
export interface PrintingArguments extends AuthorityArguments {
  readonly output: OutputFormat;
}

/** Adds the options by which every command about the fleet finds its authority. */
export function withAuthorityOptions(command: Command): Command {
  return withOperatorOptions(
    command.addOption(authorityOption().makeOptionMandatory()),
    'authority',
  );
}

/** Where the authority is administered. */
export function authorityOption(): Option {
  return serviceOption('authority');
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
  const address = serviceAddress(
    options.authority,
    { ...options, spiffeId: options.authorityId },
    command,
  );
  const { withAuthority } = await import('../authority/client.ts');
  await withAuthority(address, work);
}
