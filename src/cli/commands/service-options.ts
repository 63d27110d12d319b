import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseSpiffeId } from '../../pki/spiffe-id.ts';
import type { ServiceAddress } from '../dial-service.ts';
import { parseTargetEndpoint } from '../arguments.ts';
import { identityOption, tokenFileOption } from './options.ts';

/** How a command proves to a service at HOST:PORT that it is an operator. */
export interface OperatorArguments {
  readonly sidecar?: string;
  readonly tokenFile?: string;
  readonly identity?: string;
}

/** Adds the options by which an operator is known at HOST:PORT, and `--ROLE-id` for who must answer there. */
export function withOperatorOptions(command: Command, role: 'authority' | 'manager'): Command {
  return command
    .addOption(
      new Option(
        `--${role}-id <spiffe-id>`,
        `SPIFFE ID the ${role} must prove at HOST:PORT; none: a certificate for HOST`,
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

/** Where a service is administered: `--ROLE`. */
export function serviceOption(role: 'authority' | 'manager'): Option {
  return new Option(
    `--${role} <address>`,
    'unix:PATH of the administration socket, or HOST:PORT (needs --sidecar with an operator identity)',
  )
    .env(`SIDEKEY_${role.toUpperCase()}`)
    .argParser((text: string) => {
      if (unixPath(text) === undefined) parseTargetEndpoint(text);
      return text;
    });
}

/** Where to connect to. Complains through `command` if what is needed beside HOST:PORT is missing. */
export function serviceAddress(
  text: string,
  given: OperatorArguments & { readonly spiffeId: string | undefined },
  command: Command,
): ServiceAddress {
  const path = unixPath(text);
  if (path !== undefined) return { kind: 'unix', path };
  if (given.sidecar === undefined) return command.error('error: HOST:PORT needs --sidecar');
  return {
    kind: 'tcp',
    ...parseTargetEndpoint(text),
    spiffeId: given.spiffeId,
    sidecar: {
      address: given.sidecar,
      ...(given.tokenFile === undefined ? {} : { tokenFile: given.tokenFile }),
      ...(given.identity === undefined ? {} : { identity: given.identity }),
    },
  };
}

function unixPath(text: string): string | undefined {
  return /^unix:(?:\/\/(?=\/))?(.+)$/u.exec(text)?.[1];
}
