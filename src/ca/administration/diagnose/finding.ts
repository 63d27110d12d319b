import type { Finding } from '../../../gen/sidekey/v1/administration.ts';

/** What a check looks at has this name in findings; stable. */
export type CheckName =
  | 'issuing'
  | 'enrolment_mode'
  | 'key_protection'
  | 'authority_keys'
  | 'authority_certificates'
  | 'agents_expiring'
  | 'agents_quarantined'
  | 'agents_waiting'
  | 'agents_unheard'
  | 'feed_lag'
  | 'bundle_lag'
  | 'host_clocks'
  | 'tls_attempts'
  | 'tokens'
  | 'replicas'
  | 'crl'
  | 'disk'
  | 'permissions'
  | 'backup';

/** All is well, and what was looked at. */
export function fine(check: CheckName, message: string): Finding {
  return { severity: 'ok', check, message, remedy: '' };
}

/** Something that will hurt, or makes an attack easier. */
export function warning(check: CheckName, message: string, remedy: string): Finding {
  return { severity: 'warning', check, message, remedy };
}

/** Something that hurts now. */
export function failure(check: CheckName, message: string, remedy: string): Finding {
  return { severity: 'error', check, message, remedy };
}

/** The first few names and how many more there are. */
export function named(names: readonly string[], total: number): string {
  const shown = names.slice(0, maxNames).join(', ');
  const more = total - Math.min(names.length, maxNames);
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

/** How many names a query has to fetch for {@link named}. */
export const maxNames = 5;
