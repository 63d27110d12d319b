import { parseArgs } from 'node:util';
import { createFixture } from '../interop/fixture.ts';
import { inParallel } from '../interop/pool.ts';
import { builtCommand, startSidecar } from '../interop/sides/sidekey.ts';
import { startApplications } from './applications.ts';
import { growth, MemoryWatch } from './memory-watch.ts';
import { openThings, readMetrics } from './metrics.ts';

/**
 * A hundred thousand handshakes, every fourth of which has to fail, with sidecars as they are run
 * and no bound on their heaps but their own: `make soak HANDSHAKES=100000`. Resident memory at the end
 * must be what it was at the beginning.
 */
async function main(): Promise<number> {
  const { values } = parseArgs({ options: { handshakes: { type: 'string', default: '100000' } } });
  const handshakes = Number(values.handshakes);
  const fixture = createFixture();
  const settings = 'limits:\n  clientSessions: 256\nadmin:\n  address: 127.0.0.1:0\n';
  const sidecars = {
    server: await startSidecar(fixture, builtCommand, 'server', { settings }),
    client: await startSidecar(fixture, builtCommand, 'client', { settings }),
  };
  const applications = await startApplications(sidecars.server, sidecars.client);
  const shake = async (first: number, count: number): Promise<void> => {
    await inParallel(
      atOnce,
      Array.from({ length: count }, (_, index) => async () => {
        const number = first + index;
        if (number % 4 === 3) await applications.failure(Math.floor(number / 4));
        else await applications.exchange(`name-${String(number % 1000)}.interop.test`);
      }),
    );
  };
  const warmUp = Math.ceil(handshakes / 10);
  await shake(0, warmUp);
  const watches = {
    server: new MemoryWatch(sidecars.server),
    client: new MemoryWatch(sidecars.client),
  };
  const startedAt = performance.now();
  for (let done = 0; done < handshakes; done += sampleEvery) {
    await shake(done, sampleEvery);
    await Promise.all([watches.server.sample(), watches.client.sample()]);
  }
  const perSecond = handshakes / ((performance.now() - startedAt) / 1000);
  const problems: string[] = [];
  print(
    `${String(handshakes)} handshakes, every fourth of them bad, after ${String(warmUp)} to warm up: ` +
      `${perSecond.toFixed(0)}/s; the server gave up ${String(applications.failedHandshakes)}`,
  );
  for (const role of ['server', 'client'] as const) {
    const resident = watches[role].residentMedians(windowCount);
    print(`${role}'s sidecar: resident MiB ${resident.join(' ')}`);
    // A run that is too short to fill the windows has shown nothing.
    if (!(growth(resident) <= mostGrowthMebibytes)) problems.push(`the ${role}'s sidecar grows`);
  }
  await applications.close();
  for (const role of ['server', 'client'] as const) {
    problems.push(...openThings(await readMetrics(sidecars[role])));
  }
  await Promise.all([sidecars.server.daemon.stop(), sidecars.client.daemon.stop()]);
  fixture.remove();
  for (const problem of problems) print(`FAILED ${problem}`);
  print(`soak, long: ${problems.length === 0 ? 'passed' : `${String(problems.length)} failed`}`);
  return problems.length === 0 ? 0 : 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const atOnce = 16;
const sampleEvery = 500;
const windowCount = 10;
/** A leak of 256 bytes for each handshake would be 25 MiB. */
const mostGrowthMebibytes = 16;

process.exitCode = await main();
