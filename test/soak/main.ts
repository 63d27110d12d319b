import { createFixture } from '../interop/fixture.ts';
import { inParallel } from '../interop/pool.ts';
import { builtCommand, startSidecar } from '../interop/sides/sidekey.ts';
import type { RunningSidecar } from '../interop/sides/sidekey.ts';
import { startApplications } from './applications.ts';
import type { Applications } from './applications.ts';
import { growth, MemoryWatch } from './memory-watch.ts';
import { openThings, readMetrics } from './metrics.ts';
import { SilentPeers } from './silent-peers.ts';

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

/** Peers that say nothing are let go of in time, and hinder nobody meanwhile. */
async function sitThroughSilence(applications: Applications): Promise<readonly string[]> {
  const silent = new SilentPeers(applications.port, silentPeers);
  const waiting = new AbortController();
  let good = 0;
  let slowestMs = 0;
  const others = (async (): Promise<string[]> => {
    const failures: string[] = [];
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
    return failures;
  })();
  const freed = await silent.freed(silenceDeadlineMs);
  waiting.abort();
  const failures = await others;
  print(
    `${String(freed.length)} of ${String(silentPeers)} silent peers freed, the last after ` +
      `${(Math.max(...freed) / 1000).toFixed(1)} s; meanwhile ${String(good)} good handshakes, ` +
      `the slowest in ${slowestMs.toFixed(0)} ms, ${String(failures.length)} failed`,
  );
  return [
    ...(freed.length === silentPeers ? [] : ['silent peers hold on to their connections']),
    ...(failures.length === 0 ? [] : [`good handshakes fail meanwhile: ${failures[0] ?? ''}`]),
    ...(good >= goodHandshakes ? [] : ['too few good handshakes meanwhile']),
  ];
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
