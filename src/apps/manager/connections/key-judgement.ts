import type { Row } from '../store/schema.ts';
import type { PeerFacts } from './peer-facts.ts';

/** What the key an agent shows says about it. */
export type KeyVerdict =
  /** The one that was confirmed. */
  | 'same'
  /** Of a newer certificate: it was renewed, or this is the first. */
  | 'renewed'
  /** Of the certificate before, within the time a handshake may take to arrive. */
  | 'late'
  /** Somebody else has it, too. */
  | 'clone';

/**
 * Judges the key of a connection by what was confirmed before. Each renewal makes a new key, so keys of one id
 * follow one another; one that comes back after it was replaced, or is older than one that was confirmed, is
 * held by a second host.
 *
 * @param replaced - when the newest one was first seen, if the shown one was seen before it
 */
export function judgeKey(
  { key_hash: current, key_not_before: currentNotBefore }: Row<'agent'>,
  { keyHash, notBefore }: Pick<PeerFacts, 'keyHash' | 'notBefore'>,
  seen: { readonly shownBefore: boolean; readonly replacedAt: number | undefined },
  now: number,
): KeyVerdict {
  if (current === null || currentNotBefore === null) return 'renewed';
  if (keyHash === current) return 'same';
  const older = seen.shownBefore || notBefore < currentNotBefore;
  if (!older) return 'renewed';
  return seen.replacedAt !== undefined && now - seen.replacedAt < graceMs ? 'late' : 'clone';
}

/** A handshake may have begun before the renewal and end after it. */
const graceMs = 30_000;
