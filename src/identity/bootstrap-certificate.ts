import { createPublicKey, type KeyObject } from 'node:crypto';
import { type Certificate, encodeName, issueCertificate } from '../pki/index.ts';

/**
 * A certificate for a key by itself: it proves possession and no name, so it is worth something only to
 * a peer that knows the key. DER.
 */
export function certifyBootstrapKey(privateKey: KeyObject, now: Date): Uint8Array {
  return issueCertificate({
    issuer: { privateKey },
    subject: encodeName({ commonName: 'sidekey bootstrap' }),
    publicKey: createPublicKey(privateKey),
    notBefore: new Date(now.getTime() - datedBackMs),
    notAfter: new Date(now.getTime() + lifetimeMs),
    extendedKeyUsage: ['serverAuth', 'clientAuth'],
  });
}

/** When another one is due, for the same key. Also where a clock was wrong when this one was made. */
export function isBootstrapDue({ notBefore, notAfter }: Certificate, now: Date): boolean {
  return now.getTime() >= bootstrapDueAt({ notAfter }).getTime() || now < notBefore;
}

export function bootstrapDueAt({ notAfter }: Pick<Certificate, 'notAfter'>): Date {
  return new Date(notAfter.getTime() - lifetimeMs / 3);
}

const dayMs = 86_400_000;
/** A host may lie on a shelf for long before it is activated, and renews when it is switched on. */
const lifetimeMs = 365 * dayMs;
/** Clocks of hosts that were just set up are often behind. */
const datedBackMs = dayMs;
