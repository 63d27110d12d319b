import { createFixture } from '../interop/fixture.ts';
import { inParallel } from '../interop/pool.ts';
import { builtCommand, startSidecar } from '../interop/sides/sidekey.ts';
import type { RunningSidecar } from '../interop/sides/sidekey.ts';
import { startApplications } from './applications.ts';
import type { Applications } from './applications.ts';
import { growth, MemoryWatch } from './memory-watch.ts';
import { openThings, readMetrics } from './metrics.ts';
import { SilentPeers, startSilentServer } from './silent-peers.ts';

async function main(): Promise<number> {
  const fixture = createFixture();
  const sidecars = {
    server: await startSidecar(fixture, builtCommand, 'server', more),
    client: await startSidecar(fixture, builtCommand, 'client', more),
  };
  const applications = await startApplications(sidecars.server, sidecars.client);
  const problems = [
    ...(await soak(applications, sidecars)),
    ...(await sitThroughSilence(applications)),
    ...(await dialSilence(applications)),
  ];
  // The library keeps a few streams for its next handshakes.
  await applications.close();
  problems.push(...(await countOpenThings(sidecars)));
  await Promise.all([sidecars.server.daemon.stop(), sidecars.client.daemon.stop()]);
  fixture.remove();
  for (const problem of problems) print(`FAILED ${problem}`);
  print(`soak: ${problems.length === 0 ? 'passed' : `${String(problems.length)} failed`}`);
  return problems.length === 0 ? 0 : 1;
}

type Sidecars = Readonly<Record<'client' | 'server', RunningSidecar>>;

/** Many handshakes in a row must not leave anything behind. */
async function soak(applications: Applications, sidecars: Sidecars): Promise<readonly string[]> {
  await shakeHands(applications, warmUpHandshakes);
  const watches = {
    server: new MemoryWatch(sidecars.server),
    client: new MemoryWatch(sidecars.client),
  };
  const startedAt = performance.now();
  let resumed = 0;
  for (let done = 0; done < soakHandshakes; done += sampleEvery) {
    resumed += await shakeHands(applications, sampleEvery);
    await Promise.all([watches.server.sample(), watches.client.sample()]);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  print(
    `${String(soakHandshakes)} mutual handshakes, ${String(resumed)} of them resumed, ` +
      `after ${String(warmUpHandshakes)} to warm up: ${String(Math.round(soakHandshakes / seconds))}/s`,
  );
  return (['server', 'client'] as const).flatMap((role) => {
    const resident = watches[role].residentMedians(windowCount);
    const heap = watches[role].heapFloors(windowCount);
    print(
      `${role}'s sidecar: resident MiB ${resident.join(' ')}, heap floor MiB ${heap.join(' ')}`,
    );
    return [
      ...(growth(resident) <= residentGrowthMebibytes
        ? []
        : [`resident memory of the ${role}'s sidecar grows by ${growth(resident).toFixed(1)} MiB`]),
      ...(growth(heap) <= heapGrowthMebibytes
        ? []
        : [`heap of the ${role}'s sidecar grows by ${growth(heap).toFixed(1)} MiB`]),
    ];
  });
}

/** Answers how many were resumed. */
async function shakeHands(applications: Applications, count: number): Promise<number> {
  const exchanges = await inParallel(
    atOnce,
    Array.from({ length: count }, (_, index) => () => {
      nameNumber++;
      // One in four resumes; the others go through more names than the client's cache has room for.
      const label = index % 4 === 0 ? 'again' : `name-${String(nameNumber % 1000)}`;
      return applications.exchange(`${label}.interop.test`);
    }),
  );
  return exchanges.filter(({ resumed }) => resumed).length;
}

let nameNumber = 0;

/** Clients that say nothing are let go of in time, and hinder nobody meanwhile. */
async function sitThroughSilence(applications: Applications): Promise<readonly string[]> {
  const silent = new SilentPeers(applications.port, silentPeers);
  const { result: freed, ...good } = await whileGoodHandshakes(
    applications,
    silent.freed(silenceDeadlineMs),
  );
  print(
    `${String(freed.length)} of ${String(silentPeers)} silent clients freed, the last after ` +
      `${(Math.max(...freed) / 1000).toFixed(1)} s; ${good.summary}`,
  );
  return [
    ...(freed.length === silentPeers ? [] : ['silent clients hold on to their connections']),
    ...good.problems,
  ];
}

/** Servers that say nothing cost their callers a typed error, and nobody else anything. */
async function dialSilence(applications: Applications): Promise<readonly string[]> {
  const server = await startSilentServer();
  const startedAt = performance.now();
  const dials = Array.from({ length: silentServers }, () => applications.dial(server.port));
  const { result: codes, ...good } = await whileGoodHandshakes(applications, Promise.all(dials));
  const seconds = (performance.now() - startedAt) / 1000;
  server.stop();
  const others = codes.filter((code) => code !== 'ERR_TLS_HANDSHAKE_TIMEOUT');
  print(
    `${String(codes.length - others.length)} of ${String(silentServers)} connections to silent ` +
      `servers ended after ${seconds.toFixed(1)} s; ${good.summary}`,
  );
  return [
    ...(others.length === 0 ? [] : [`connections to silent servers end with ${others.join()}`]),
    ...(seconds * 1000 <= silenceDeadlineMs ? [] : ['connections to silent servers end late']),
    ...good.problems,
  ];
}

/** Goes on making handshakes, one after the other, as long as `waitedFor` takes. */
async function whileGoodHandshakes<T>(
  applications: Applications,
  waitedFor: Promise<T>,
): Promise<{
  readonly result: T;
  readonly summary: string;
  readonly problems: readonly string[];
}> {
  const waiting = new AbortController();
  const failures: string[] = [];
  let good = 0;
  let slowestMs = 0;
  const goOn = async (): Promise<void> => {
    while (!waiting.signal.aborted) {
      const startedAt = performance.now();
      try {
        await applications.exchange('again.interop.test');
        good++;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    }
  };
  const others = goOn();
  const result = await waitedFor;
  waiting.abort();
  await others;
  return {
    result,
    summary:
      `meanwhile ${String(good)} good handshakes, the slowest in ${slowestMs.toFixed(0)} ms, ` +
      `${String(failures.length)} failed`,
    problems: [
      ...(failures.length === 0 ? [] : [`good handshakes fail meanwhile: ${failures[0] ?? ''}`]),
      ...(good >= goodHandshakes ? [] : ['too few good handshakes meanwhile']),
    ],
  };
}

async function countOpenThings(sidecars: Sidecars): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const role of ['server', 'client'] as const) {
    const open = openThings(await readMetrics(sidecars[role]));
    print(`${role}'s sidecar: ${open.length === 0 ? 'nothing open, nothing queued' : open.join()}`);
    problems.push(...open);
  }
  return problems;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const warmUpHandshakes = 3_000;
const soakHandshakes = 10_000;
const sampleEvery = 250;
const windowCount = 4;
const atOnce = 16;

/** Over 7,500 handshakes from window to window; a leak of 1 KiB for each would be 7.3 MiB. */
const residentGrowthMebibytes = 6;
const heapGrowthMebibytes = 3;

const silentPeers = 500;
/** Fewer than the library makes at once; more would wait their turn, and so would the good ones. */
const silentServers = 50;
/** The sidecar's `handshakeTimeout`, with time for a busy machine. */
const silenceDeadlineMs = 15_000;
const goodHandshakes = 20;

const more = {
  // A small cache of client sessions, so that it is full before the measuring begins.
  settings: `limits:
  clientSessions: 256
admin:
  address: 127.0.0.1:0
`,
  // With gigabytes to grow into, the collector would leave garbage lying about for the whole run.
  nodeOptions: ['--max-old-space-size=64'],
};

process.exitCode = await main();
