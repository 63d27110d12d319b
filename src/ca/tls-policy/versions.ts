import { ServiceError } from '../../rpc/errors.ts';

/** Versions by the names of reports and commands, oldest first. */
export const tlsVersions = ['SSLv3', 'TLSv1.0', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;
export type TlsVersion = (typeof tlsVersions)[number];

/** What a floor can be. */
export type TlsFloor = 'TLSv1.2' | 'TLSv1.3';

/** The floor of listeners nobody said anything about. */
export const defaultTlsFloor: TlsFloor = 'TLSv1.2';

/** Whether a component that speaks up to `highest` can talk where `floor` holds; an unknown version cannot. */
export function reaches(highest: string, floor: TlsFloor): boolean {
  return tlsVersions.findIndex((version) => version === highest) >= tlsVersions.indexOf(floor);
}

/**
 * Reads a floor as asked for.
 *
 * @throws ServiceError `INVALID_ARGUMENT` for what no floor can be, with the reason
 */
export function parseTlsFloor(text: string): TlsFloor {
  if (text === 'TLSv1.2' || text === 'TLSv1.3') return text;
  if (tlsVersions.some((version) => version === text)) {
    throw new ServiceError(
      'INVALID_ARGUMENT',
      'tls_version_never_spoken',
      `${text} is never spoken by any component (RFC 8996, RFC 7568), so it cannot be allowed again; ` +
        'the lowest floor is TLSv1.2',
    );
  }
  throw new ServiceError(
    'INVALID_ARGUMENT',
    'tls_version_unknown',
    'min_version has to be TLSv1.2 or TLSv1.3',
  );
}
