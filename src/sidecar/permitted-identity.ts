import { ServiceError } from '../rpc/errors.ts';
import { callerOf, connectionOf, type FindConnection, type IncomingCall } from './caller-of.ts';
import type { Permissions } from './callers.ts';
import type { EnrolledEntry } from './enrolled-entry.ts';
import type { IdentityStore } from './identities.ts';

/** Whoever decides what becomes of identities. */
export interface UpkeepServices {
  readonly identities: IdentityStore;
  readonly connection: FindConnection;
  readonly ownUid: number | undefined;
}

/**
 * The enrolled identity a call is about: the one it names, or the only one its caller may do this with.
 * That is whoever runs the sidecar, or may become anybody, and a caller whose rule has one of
 * `permissions`. Throws `ServiceError`.
 */
export function permittedIdentity(
  call: IncomingCall,
  name: string,
  permissions: readonly (keyof Permissions)[],
  services: UpkeepServices,
): EnrolledEntry {
  const permitted = permittedNames(call, permissions, services);
  const { identities } = services;
  if (name === '') {
    return only(
      identities.enrolled().filter((entry) => permitted === 'all' || permitted.has(entry.name)),
    );
  }
  if (permitted !== 'all' && !permitted.has(name)) {
    throw new ServiceError(
      'PERMISSION_DENIED',
      'identity_not_allowed',
      'the caller may not do this with an identity of this name',
    );
  }
  const entry = identities.enrolledEntry(name);
  if (entry !== undefined) return entry;
  if (!identities.names().includes(name)) {
    throw new ServiceError('NOT_FOUND', 'identity_unknown', 'there is no identity of this name');
  }
  throw identities.bootstrapEntry(name) === undefined
    ? precondition('identity_from_files', 'the identity is read from files, not enrolled')
    : precondition('identity_self_signed', 'the identity is self-signed, not enrolled');
}

function permittedNames(
  call: IncomingCall,
  permissions: readonly (keyof Permissions)[],
  { connection, ownUid }: UpkeepServices,
): 'all' | ReadonlySet<string> {
  const { credentials } = connectionOf(call, connection);
  const uid = credentials?.uid;
  if (uid !== undefined && (uid === ownUid || uid === 0)) return 'all';
  const caller = callerOf(call, connection);
  if (permissions.some((permission) => caller.permissions[permission])) return caller.identities;
  throw new ServiceError(
    'PERMISSION_DENIED',
    'not_the_owner',
    `only the user who runs the sidecar, over its unix socket, and callers whose allow rule has ${permissions.join(' or ')} can do this`,
  );
}

function only([first, second]: readonly EnrolledEntry[]): EnrolledEntry {
  if (first === undefined) {
    throw precondition('no_enrolled_identity', 'no identity is configured as enrolled');
  }
  if (second !== undefined) {
    throw precondition('identity_ambiguous', 'several identities are enrolled: name one');
  }
  return first;
}

function precondition(reason: string, message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', reason, message);
}
