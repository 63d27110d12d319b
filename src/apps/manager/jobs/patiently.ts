import { setTimeout as delay } from 'node:timers/promises';
import { OffloadError, OffloadErrorCode } from '../../../offload/index.ts';

/**
 * Calls our sidecar again, for up to a minute, when it says that it has too much to do: after the pause it asks for and
 * one at random that doubles, so that those who wait do not return together. Rejects as `call` does otherwise.
 *
 * @param random - between 0 and 1
 */
export async function patiently<T>(call: () => Promise<T>, random: () => number): Promise<T> {
  const until = performance.now() + patienceMs;
  for (let boundMs = firstMs; ; boundMs = Math.min(mostMs, boundMs * 2)) {
    try {
      return await call();
    } catch (error) {
      if (!isOverloaded(error) || performance.now() > until) throw error;
      const pauseMs = (error.retryAfterMs ?? 0) + random() * boundMs;
      await delay(pauseMs, undefined, { ref: false });
    }
  }
}

function isOverloaded(error: unknown): error is OffloadError {
  return error instanceof OffloadError && error.code === OffloadErrorCode.overloaded;
}

const patienceMs = 60_000;
const firstMs = 50;
const mostMs = 2000;
