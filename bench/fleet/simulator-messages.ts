import type { AuthorityKey } from './fleet-authority.ts';
import type { Returning } from './simulator.ts';

/** What a process of simulated agents needs to make them. */
export interface Begin {
  readonly authority: AuthorityKey;
  readonly port: number;
  readonly count: number;
  readonly returning: Returning;
}

/** How the agents of one process, or of all, are. */
export interface Told {
  readonly connected: number;
  readonly heartbeats: number;
  readonly failures: number;
  readonly lastFailure: string;
}

/** `ready`: they have keys; `up`: each was connected once. */
export type FromSimulator = 'ready' | 'up' | Told;

export function sendToParent(message: FromSimulator): void {
  process.send?.(message);
}
