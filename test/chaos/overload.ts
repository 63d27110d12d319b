import { once } from 'node:events';
import type { Offload } from '../../src/offload/index.ts';
import { echoServer, exchange } from './exchange.ts';
import { patience } from './patience.ts';
import { pause, unless } from './report.ts';
import { SidecarProcess, timeouts as sidecarTimeouts } from './sidecar-process.ts';
import { applicationTimeouts as timeouts, leftovers, limitMs, type Stage } from './stage.ts';

/**
 * Ten times as many handshakes at once as a sidecar has places and patience for: what is established
 * flows on, a share of the handshakes succeeds, and the others are told when to come back.
 */
export async function overload({ fixture, library, report }: Stage): Promise<void> {
  const sidecar = await SidecarProcess.started(fixture, {
    name: 'overloaded',
    role: 'client',
    settings: `${sidecarTimeouts}limits: { handshakes: ${String(places)}, queue: ${String(queue)}, queueTimeout: ${String(300 * patience)}ms }\n`,
  });
  const peer = await SidecarProcess.started(fixture, { name: 'overload-peer', role: 'server' });
  const client = library.createOffload({ address: sidecar.address, timeouts });
  const serverSide = library.createOffload({ address: peer.address, timeouts });
  const server = await echoServer(serverSide);
  const stop = new AbortController();
  const established = Array.from({ length: 4 }, () => chatter(client, server.port, stop.signal));
  const lines = await Promise.all(established);

  const codes = new Map<string, number>();
  let withoutAdvice = 0;
  const until = performance.now() + overloadMs;
  const dial = async (): Promise<void> => {
    while (performance.now() < until) {
      const { code, error } = await exchange(client, server.port, { limitMs });
      codes.set(code, (codes.get(code) ?? 0) + 1);
      const advice =
        error !== undefined && 'retryAfterMs' in error ? error.retryAfterMs : undefined;
      if (code === 'ERR_OFFLOAD_OVERLOADED' && !(Number(advice) > 0)) withoutAdvice += 1;
    }
  };
  await Promise.all(Array.from({ length: 10 * (places + queue) }, dial));
  stop.abort();
  const chats = await Promise.all(lines.map(({ ended }) => ended));

  const good = codes.get('ok') ?? 0;
  const all = [...codes.values()].reduce((sum, count) => sum + count, 0);
  const others = [...codes.keys()].filter((code) => !expected.has(code));
  const longestMs = Math.max(...chats.map(({ longestGapMs }) => longestGapMs));
  const echoes = chats.reduce((sum, chat) => sum + chat.echoes, 0);
  report.check('overload, established traffic', [
    ...chats.flatMap(({ problem }) => problem ?? []),
    ...unless(longestMs < mostGapMs, `stands still for ${longestMs.toFixed(0)} ms`),
  ]);
  report.check('overload, a share of the handshakes', [
    ...unless(good >= 5 && good / all > 0.01, `${String(good)} of ${String(all)} succeed`),
  ]);
  report.check('overload, refusals', [
    ...unless((codes.get('ERR_OFFLOAD_OVERLOADED') ?? 0) > 0, 'nobody is refused'),
    ...unless(withoutAdvice === 0, `${String(withoutAdvice)} are without advice`),
    ...unless(others.length === 0, `some end with ${others.join()}`),
  ]);
  const after = await exchange(client, server.port, { limitMs });
  report.check('after overload', [...unless(after.code === 'ok', `ends with ${after.code}`)]);
  await Promise.all([client.close(), server.close(), serverSide.close()]);
  report.check('overload, leftovers', await leftovers([sidecar, peer]));
  const list = [...codes].map(([code, count]) => `${code} ${String(count)}`).join(', ');
  report.note(
    `ten times overloaded: ${list}; ${String(echoes)} echoes on established connections, ` +
      `the longest wait ${longestMs.toFixed(0)} ms`,
  );
  await Promise.all([sidecar.stop(), peer.stop()]);
}

interface Chat {
  readonly echoes: number;
  readonly longestGapMs: number;
  readonly problem: string | undefined;
}

/** A connection that asks and listens, again and again; resolves once it is established. */
async function chatter(
  offload: Offload,
  port: number,
  stop: AbortSignal,
): Promise<{ readonly ended: Promise<Chat> }> {
  const socket = offload.connect({ host: '127.0.0.1', port, servername: 'chat.interop.test' });
  let problem: string | undefined;
  socket.on('error', (error) => (problem = error.message));
  await once(socket, 'secureConnect');
  const talk = async (): Promise<Chat> => {
    let echoes = 0;
    let longestGapMs = 0;
    while (!stop.aborted && problem === undefined) {
      const askedAt = performance.now();
      socket.write('still there?');
      await Promise.race([once(socket, 'data'), pause(limitMs)]);
      longestGapMs = Math.max(longestGapMs, performance.now() - askedAt);
      echoes += 1;
      await pause(5);
    }
    socket.destroy();
    return { echoes, longestGapMs, problem };
  };
  return { ended: talk() };
}

const places = 4;
const queue = 8;
const overloadMs = 4000 * patience;
/** All applications of this run share one process and one busy machine. */
const mostGapMs = 2000 * patience;

/** Besides success: refused, or the peer's own patience was over while it waited. */
const expected: ReadonlySet<string> = new Set([
  'ok',
  'ERR_OFFLOAD_OVERLOADED',
  'ERR_TLS_HANDSHAKE_TIMEOUT',
  'ECONNRESET',
]);
