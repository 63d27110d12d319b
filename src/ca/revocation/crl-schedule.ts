import type { CaState } from '../store/schema.ts';
import type { IssuerCrls } from './crl-rows.ts';

/** How long CRLs live and how often they are made. */
export interface CrlTiming {
  /** From this to next update of a complete CRL; made anew at half of it. */
  readonly completeMs: number;
  /** The same of a delta. */
  readonly deltaMs: number;
  /** From one delta to the next, however much is revoked. */
  readonly minIntervalMs: number;
}

export const defaultCrlTiming: CrlTiming = {
  completeMs: 24 * 3_600_000,
  deltaMs: 2 * 3_600_000,
  minIntervalMs: 10_000,
};

/** What is to be published of an issuer now. */
export type CrlDue = 'complete' | 'last' | 'delta' | undefined;

/**
 * Decides what is due. A CA that is retired gets one last CRL, which outlasts everything it signed, as
 * its key is to be destroyed. A delta follows each complete CRL at once and lists what was revoked
 * since the one before: whoever still has that one can use it as well.
 */
export function crlDue(
  crls: IssuerCrls,
  issuer: { readonly state: CaState; readonly notAfter: number; readonly hasNews: boolean },
  timing: CrlTiming,
  now: number,
): CrlDue {
  const [newest] = crls.complete;
  switch (issuer.state) {
    case 'prepared':
    case 'published':
    case 'aborted':
    case 'destroyed':
      return undefined;
    case 'retired':
      if (newest === undefined || newest.nextUpdate < issuer.notAfter) return 'last';
      return issuer.hasNews ? 'last' : undefined;
    case 'signing':
    case 'draining':
    case 'tainted':
  }
  if (newest === undefined || isHalfOver(newest, now)) return 'complete';
  const { delta } = crls;
  if (delta === undefined || delta.number < newest.number || isHalfOver(delta, now)) return 'delta';
  if (issuer.hasNews && now >= delta.thisUpdate + timing.minIntervalMs) return 'delta';
  return undefined;
}

function isHalfOver(
  { thisUpdate, nextUpdate }: { readonly thisUpdate: number; readonly nextUpdate: number },
  now: number,
): boolean {
  // A clock that was set back must not keep an old list alive.
  return now >= (thisUpdate + nextUpdate) / 2 || now < thisUpdate;
}
