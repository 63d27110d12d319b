import { createHash } from 'node:crypto';

/** A reissue under way, as far as slots go. */
export interface CampaignWindow {
  readonly id: Uint8Array;
  readonly startedAt: number;
  readonly windowMs: number;
}

/**
 * When a host renews in a reissue: a moment of the window that follows from its id and the campaign's
 * alone, so that it is the same on every replica, after every restart, and evenly spread.
 */
export function slotOf(campaign: CampaignWindow, agent: Uint8Array): Date {
  const digest = createHash('sha256').update(campaign.id).update(agent).digest();
  const share = digest.readUInt32BE(0) / 2 ** 32;
  return new Date(campaign.startedAt + Math.floor(share * campaign.windowMs));
}

/**
 * How long a reissue of so many hosts takes at a rate, at least `minMs`; but never longer than half of
 * what the certificates concerned have left, since those that are late come last.
 */
export function windowFor(options: {
  readonly hosts: number;
  readonly perSecond: number;
  readonly minMs: number;
  /** Until the first of the certificates ends. */
  readonly leftMs: number;
}): number {
  const wanted = Math.max(options.minMs, (options.hosts / Math.max(options.perSecond, 1)) * 1000);
  return Math.max(0, Math.floor(Math.min(wanted, options.leftMs / 2)));
}
