import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

/**
 * Tells the kernel that the memory of this process is nobody's business: no core file is written of
 * it, and processes of the same user can neither trace it nor read its memory
 * ({@link https://man7.org/linux/man-pages/man2/PR_SET_DUMPABLE.2const.html | PR_SET_DUMPABLE}). Root
 * still can. Answers whether it worked; elsewhere than on Linux, and without the package for foreign
 * calls, it does not.
 */
export function makeUndumpable(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    // Loaded here, not imported: without it the rest of the sidecar works.
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const prctl: unknown = koffi
      .load(null)
      .func(
        'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
      );
    if (typeof prctl !== 'function') return false;
    return Reflect.apply(prctl, undefined, [PR_SET_DUMPABLE, 0, 0, 0, 0]) === 0;
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    return false;
  }
}

const PR_SET_DUMPABLE = 4;
