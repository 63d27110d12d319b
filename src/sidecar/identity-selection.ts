import { matchesDnsName } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { Caller } from './callers.ts';
import type { ClientRequest, IdentityReference, ServerRequest } from './handshake-request.ts';
import type { IdentityStore } from './identities.ts';
import type { LocalIdentity } from './local-identity.ts';

/**
 * The identity a client handshake may use: the one asked for, else the caller's default; none for
 * an anonymous one. Throws `ServiceError`.
 */
export function selectClientIdentity(
  request: ClientRequest,
  caller: Caller,
  store: IdentityStore,
  now: Date,
): LocalIdentity | undefined {
  if (request.anonymous) return undefined;
  const identity =
    request.identity === undefined
      ? defaultIdentity(caller, store)
      : find(request.identity, caller, store);
  return usable(identity, store, now);
}

/**
 * The identities a server handshake may show, the default first. Throws `ServiceError` if one that
 * was asked for is not there, or none is left.
 */
export function selectServerIdentities(
  request: ServerRequest,
  caller: Caller,
  store: IdentityStore,
  now: Date,
): readonly LocalIdentity[] {
  if (request.identities.length > 0) {
    const named = request.identities.map((one) => usable(find(one, caller, store), store, now));
    return [...new Set(named)];
  }
  const allowed = [...allowedIdentities(caller, store)].sort(
    (a, b) => Number(b.isDefault) - Number(a.isDefault),
  );
  const valid = allowed.filter(
    (identity) => isValid(identity, now) && store.refusalOf(identity.name) === undefined,
  );
  if (valid.length > 0) return valid;
  const [first] = allowed;
  if (first !== undefined) usable(first, store, now);
  throw notReady(caller, store) ?? noDefault();
}

/**
 * The identity a call is about: the one of this name, else the caller's default. Throws
 * `ServiceError`, also for one that cannot be used now.
 */
export function selectIdentity(
  name: string,
  caller: Caller,
  store: IdentityStore,
  now: Date,
): LocalIdentity {
  const identity =
    name === ''
      ? defaultIdentity(caller, store)
      : find({ kind: 'configured', name }, caller, store);
  return usable(identity, store, now);
}

/**
 * Identities a caller may use without naming them, in the order of the configuration. A bootstrap
 * identity proves no name: whoever means it says so.
 */
function allowedIdentities(caller: Caller, store: IdentityStore): readonly LocalIdentity[] {
  return store
    .all()
    .filter(({ name, bootstrap }) => bootstrap === undefined && mayUse(caller, name));
}

/** Names of the identities a caller may use, ready or not. */
export function allowedNames(caller: Caller, store: IdentityStore): readonly string[] {
  return store.names().filter((name) => mayUse(caller, name));
}

/** Whether the certificate of an identity is valid at a moment. */
export function isValid({ leaf }: LocalIdentity, now: Date): boolean {
  return leaf.notBefore <= now && now <= leaf.notAfter;
}

function find(wanted: IdentityReference, caller: Caller, store: IdentityStore): LocalIdentity {
  const refusal = wanted.kind === 'configured' ? refusalIn(store, caller, wanted.name) : undefined;
  if (refusal !== undefined) throw refusal;
  const matching = store.all().filter((identity) => isNamed(identity, wanted));
  const allowed = matching.find(({ name }) => mayUse(caller, name));
  if (allowed !== undefined) return allowed;
  if (matching.length > 0) {
    throw new ServiceError(
      'PERMISSION_DENIED',
      'identity_not_allowed',
      `the caller may not act as ${text(wanted)}`,
    );
  }
  throw new ServiceError('NOT_FOUND', 'identity_unknown', `no identity is ${text(wanted)}`);
}

function defaultIdentity(caller: Caller, store: IdentityStore): LocalIdentity {
  const allowed = allowedIdentities(caller, store);
  const chosen =
    allowed.find(({ isDefault }) => isDefault) ?? (allowed.length === 1 ? allowed[0] : undefined);
  if (chosen === undefined) throw notReady(caller, store) ?? noDefault();
  return chosen;
}

function isNamed(identity: LocalIdentity, wanted: IdentityReference): boolean {
  switch (wanted.kind) {
    case 'configured':
      return identity.name === wanted.name;
    case 'spiffe':
      return identity.spiffeId === wanted.id;
    case 'dns':
      return matchesDnsName(identity.leaf, wanted.name);
  }
}

function mayUse({ identities }: Caller, name: string): boolean {
  return identities === 'all' || identities.has(name);
}

function usable(identity: LocalIdentity, store: IdentityStore, now: Date): LocalIdentity {
  const refusal = store.refusalOf(identity.name);
  if (refusal !== undefined) throw refusal;
  if (!isValid(identity, now)) throw expired(identity, now);
  return identity;
}

/** Why the caller has nothing to act as, if that is because an identity waits for something. */
function notReady(caller: Caller, store: IdentityStore): ServiceError | undefined {
  const names = store.names().filter((name) => store.bootstrapEntry(name) === undefined);
  return names.flatMap((name) => refusalIn(store, caller, name) ?? [])[0];
}

function refusalIn(store: IdentityStore, caller: Caller, name: string): ServiceError | undefined {
  return mayUse(caller, name) ? store.refusalOf(name) : undefined;
}

function expired({ name, leaf }: LocalIdentity, now: Date): ServiceError {
  return now > leaf.notAfter
    ? new ServiceError(
        'FAILED_PRECONDITION',
        'identity_expired',
        `the certificate of "${name}" expired at ${leaf.notAfter.toISOString()}`,
      )
    : new ServiceError(
        'FAILED_PRECONDITION',
        'identity_not_yet_valid',
        `the certificate of "${name}" is valid from ${leaf.notBefore.toISOString()}`,
      );
}

function noDefault(): ServiceError {
  return new ServiceError(
    'FAILED_PRECONDITION',
    'no_default_identity',
    'no identity was named, and the caller has no default one',
  );
}

/** Names in requests were checked when they were read, so they may stand in a message. */
function text(wanted: IdentityReference): string {
  return wanted.kind === 'spiffe' ? wanted.id : `"${wanted.name}"`;
}
