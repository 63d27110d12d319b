import type { Logger } from 'pino';
import type { Timers } from '../../identity/index.ts';

/** What the parts of an agent take from outside. */
export interface Surroundings {
  readonly log: Logger;
  readonly now: () => Date;
  readonly timers: Timers;
  /** At least 0, below 1; for jitter only. */
  readonly random: () => number;
  /** Of this program. */
  readonly version: string;
}
