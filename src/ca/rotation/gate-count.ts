import type { Laggard } from './rotation.ts';

/** What one gate has counted. */
export interface GateCount {
  readonly needed: number;
  readonly reached: number;
  /** The first few. */
  readonly laggards: readonly Laggard[];
  readonly laggardsTotal: number;
  readonly detail: string;
}

/** How many of those missing are named; the rest are counted. */
export const MAX_LAGGARDS = 20;
