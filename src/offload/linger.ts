import type { Duplex } from 'node:stream';

/** Lets the peer read the alert: closing with data unread would reset the connection. */
export function lingerThenDestroy(raw: Duplex): void {
  raw.end();
  raw.resume();
  const timer = setTimeout(() => raw.destroy(), lingerMs);
  raw.once('close', () => {
    clearTimeout(timer);
  });
}

const lingerMs = 1000;
