import { schemesForKey, signSync, verifySignature } from '../crypto/signatures.ts';
import { randomBytes } from '../crypto/random.ts';
import type { IdentityStore } from './identities.ts';
import { isValid } from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';

/**
 * Why an identity cannot be used now, or `undefined` if it can. Really signs: a key that went away
 * in its token shows here, not in the next handshake.
 */
export function readinessProblem(identity: LocalIdentity, now: Date): string | undefined {
  const { leaf, credential, privateKey } = identity;
  if (!isValid(identity, now)) {
    return `the certificate is valid from ${leaf.notBefore.toISOString()} to ${leaf.notAfter.toISOString()}`;
  }
  const [scheme] = schemesForKey(credential.keyKind, credential.rsaModulusBytes);
  if (scheme === undefined) return 'the key fits no signature scheme';
  const content = randomBytes(32);
  try {
    const signature = signSync(privateKey, scheme, content);
    if (verifySignature(leaf.publicKey, scheme, content, signature)) return undefined;
    return 'the key does not sign for the certificate';
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return 'the key cannot sign';
  }
}

/** Why nobody can act as the identity of this name now, or `undefined` if one can. */
export function identityProblem(
  identities: IdentityStore,
  name: string,
  now: Date,
): string | undefined {
  // One that is shut has done what it was for.
  if (identities.bootstrapEntry(name)?.isShut === true) return undefined;
  const refusal = identities.refusalOf(name);
  if (refusal !== undefined) return refusal.message;
  const identity = identities.get(name);
  return identity === undefined ? undefined : readinessProblem(identity, now);
}

/**
 * `look`, at most once in `forMs`: whoever asks may be anybody who reaches the admin port, and each
 * look costs a signature for each identity.
 */
export function lookedAtOnceIn<T>(forMs: number, now: () => Date, look: () => T): () => T {
  let last: { readonly at: number; readonly value: T } | undefined;
  return () => {
    const at = now().getTime();
    // A clock that was set back must not keep an old answer alive.
    if (last === undefined || Math.abs(at - last.at) >= forMs) last = { at, value: look() };
    return last.value;
  };
}
