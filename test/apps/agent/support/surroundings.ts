import type { Surroundings } from '../../../../src/apps/agent/surroundings.ts';
import { type LogLine, memoryLog } from '../../../sidecar/fixture.ts';

/** Of a part by itself: time stands still, timers never end. */
export function stillSurroundings(): Surroundings & { readonly lines: readonly LogLine[] } {
  const { log, lines } = memoryLog();
  return {
    log,
    lines,
    version: 'test',
    now: () => new Date('2026-01-01T00:00:00Z'),
    timers: { after: () => () => undefined },
    random: () => 0,
  };
}
