import type { AgentConnection } from './agent-connection.ts';

/**
 * Looks at every connection once in each `silenceMs`, a tenth of them at a time, and pings those that were silent for
 * so long. Answers what ends it; alone it keeps no process alive.
 */
export function keepAlive(
  connections: () => Iterable<AgentConnection>,
  silenceMs: number,
): () => void {
  let turn = 0;
  const timer = setInterval(() => {
    turn = (turn + 1) % turns;
    let at = 0;
    for (const connection of connections()) {
      if (at++ % turns === turn) connection.keepAlive(silenceMs);
    }
  }, silenceMs / turns).unref();
  return () => {
    clearInterval(timer);
  };
}

const turns = 10;
