/** What a schedule depends on. */
export interface CertificateLife {
  readonly issuedAt: Date;
  readonly notAfter: Date;
  /** Where in the band this host's renewal lies, 0 to 1: drawn once, so that restarts do not move it. */
  readonly draw: number;
}

/** What has gone wrong since the last success. */
export interface Failures {
  readonly count: number;
  /** The authority's advice with the last one. */
  readonly retryAfterMs: number | undefined;
  /** It was refused, not lost: asking again at once will not help. */
  readonly refused: boolean;
}

/** When to renew: at a random point in 55 to 80 % of the life, so that a fleet enrolled at once spreads. */
export function renewalMoment({ issuedAt, notAfter, draw }: CertificateLife): Date {
  return partOfLife(issuedAt, notAfter, bandStart + draw * (bandEnd - bandStart));
}

/** From here on, waiting long between attempts is worse than asking often. */
export function hardMoment({ issuedAt, notAfter }: CertificateLife): Date {
  return partOfLife(issuedAt, notAfter, hardPart);
}

/**
 * When to try again after a failure: backoff with full jitter, not before the authority's advice, and
 * at the latest when the hard zone begins. `random` is 0 to 1.
 */
export function retryMoment(
  life: CertificateLife,
  failures: Failures,
  now: Date,
  random: number,
): Date {
  const hard = hardMoment(life).getTime();
  const isHard = now.getTime() >= hard;
  const delay = backoffMs(failures, random, limitMs(isHard, now, life, failures));
  const at = now.getTime() + delay;
  if (isHard || failures.retryAfterMs !== undefined) return new Date(at);
  return new Date(Math.min(at, Math.max(hard, now.getTime() + shortestMs)));
}

/** A delay of full jitter below a limit that doubles with each failure. */
export function backoffMs(failures: Failures, random: number, limit: number): number {
  const ceiling = Math.min(limit, firstMs * 2 ** Math.min(failures.count, 30));
  const jittered = Math.max(shortestMs, ceiling * random);
  const { retryAfterMs } = failures;
  if (retryAfterMs === undefined) return jittered;
  // Everybody was told the same, or a slot of their own: a little later than that, each apart.
  const advised = Math.min(retryAfterMs, longestAdviceMs);
  return Math.max(jittered, advised * (1 + random / 4));
}

function limitMs(isHard: boolean, now: Date, life: CertificateLife, failures: Failures): number {
  if (failures.refused) return refusedLimitMs;
  if (!isHard) return softLimitMs;
  return now.getTime() < life.notAfter.getTime() ? hardLimitMs : expiredLimitMs;
}

function partOfLife(issuedAt: Date, notAfter: Date, part: number): Date {
  const life = Math.max(0, notAfter.getTime() - issuedAt.getTime());
  return new Date(issuedAt.getTime() + life * part);
}

const bandStart = 0.55;
const bandEnd = 0.8;
const hardPart = 0.9;

const firstMs = 2000;
const shortestMs = 500;
const softLimitMs = 600_000;
const hardLimitMs = 30_000;
/** Nothing gets worse any more, and many may have expired at once. */
const expiredLimitMs = 300_000;
/** Only a person can change it, and may have. */
const refusedLimitMs = 600_000;
const longestAdviceMs = 3_600_000;
