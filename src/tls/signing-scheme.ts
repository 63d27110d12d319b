import { schemesForKey } from '../crypto/signatures.ts';
import type { Credential } from './config.ts';
import { SignatureScheme } from './registries.ts';

/**
 * What we sign with under a credential: the first scheme in our order that fits its key and that the
 * peer accepts. `undefined` if there is none, also for a peer that names no schemes: only SHA-1 would
 * be left (RFC 5246 §7.4.1.4.1), which is no longer (RFC 9155).
 */
export function signingScheme(
  { keyKind, rsaModulusBytes, signatureSchemes }: Credential,
  accepted: readonly number[] | undefined,
): SignatureScheme | undefined {
  const fitting = schemesForKey(keyKind, rsaModulusBytes);
  const ours = signatureSchemes?.filter((scheme) => fitting.includes(scheme)) ?? fitting;
  const code = ours.find((scheme) => accepted?.includes(scheme));
  return Object.values(SignatureScheme).find((scheme) => scheme === code);
}
