import { writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';

/**
 * Where log lines go: to a file descriptor, at once, so that what was written last before an end is
 * not lost. Lines that cannot be written, to a full disk or to nobody, are counted and dropped:
 * handshakes must not fail because nobody can read of them.
 *
 * @param write - as `writeSync` of `node:fs`; for tests
 */
export function logOutput(fd: number, write: typeof writeSync = writeSync): DestinationStream {
  let lost = 0;
  const put = (text: string): boolean => {
    try {
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.length;) written += write(fd, bytes, written);
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return false;
    }
  };
  return {
    write: (line) => {
      if (lost > 0 && put(lossReport(lost))) lost = 0;
      if (!put(line)) lost += 1;
    },
  };
}

/** As pino would write it; this is below pino. */
function lossReport(lost: number): string {
  const warn = 40;
  const line = { level: warn, time: Date.now(), lost, msg: 'log lines were lost' };
  return `${JSON.stringify(line)}\n`;
}
