import type { Duplex } from 'node:stream';
import { asError } from '../../offload/errors.ts';

/** What passed between the two sides of a relay, in bytes. */
export interface Relayed {
  readonly towardsTarget: number;
  readonly towardsCaller: number;
  /** Why it broke; absent: both sides ended in order. */
  readonly error?: Error;
}

/**
 * Joins two connections until both have ended. The end of one direction is passed on and leaves the
 * other open; a side that is slow to take slows down the one that sends. If one breaks, so does the
 * other: what was cut short must not look complete. Both must allow to be half open.
 *
 * @param abandon breaks a side: ends in order would be lies
 */
export function relayPair(
  caller: Duplex,
  target: Duplex,
  abandon: (side: Duplex) => void,
): Promise<Relayed> {
  return new Promise((resolve) => {
    let towardsTarget = 0;
    let towardsCaller = 0;
    let open = 2;
    let failure: Error | undefined;
    const broken = (error: Error): void => {
      failure ??= error;
      abandon(caller);
      abandon(target);
    };
    caller.on('data', (chunk: Uint8Array) => (towardsTarget += chunk.length));
    target.on('data', (chunk: Uint8Array) => (towardsCaller += chunk.length));
    for (const side of [caller, target]) {
      side.on('error', (error: unknown) => {
        broken(asError(error));
      });
      side.once('close', () => {
        open -= 1;
        if (!side.readableEnded || !side.writableFinished) {
          broken(failure ?? new Error('one side was closed before the other had ended'));
        }
        if (open > 0) return;
        resolve({
          towardsTarget,
          towardsCaller,
          ...(failure === undefined ? {} : { error: failure }),
        });
      });
    }
    caller.pipe(target);
    target.pipe(caller);
  });
}
