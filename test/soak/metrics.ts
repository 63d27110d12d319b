import { readFile } from 'node:fs/promises';
import type { RunningSidecar } from '../interop/sides/sidekey.ts';

/** The values of one reading of `/metrics`, by name and labels as they stand there. */
export type Metrics = ReadonlyMap<string, number>;

export async function readMetrics(sidecar: RunningSidecar): Promise<Metrics> {
  const response = await fetch(`http://${adminAddress(sidecar.daemon)}/metrics`);
  if (!response.ok) throw new Error(`/metrics answers ${String(response.status)}`);
  const lines = (await response.text()).split('\n').filter((line) => /^\w/.test(line));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** Where a sidecar said it would answer; asked once it serves, since only its last words are kept. */
export function adminAddress(daemon: RunningSidecar['daemon']): string {
  const known = addresses.get(daemon) ?? /"admin":"([^"]+)"/.exec(daemon.output)?.[1];
  if (known === undefined) throw new Error('the sidecar names no admin address');
  addresses.set(daemon, known);
  return known;
}

const addresses = new WeakMap<RunningSidecar['daemon'], string>();

/** Resident memory of a process in bytes, as Linux counts it. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** What has to be 0 again once nothing is going on. */
export function openThings(metrics: Metrics): readonly string[] {
  const names = [...metrics.keys()].filter((name) =>
    /^sidekey_(handshakes_in_flight|handshakes_queued|open_streams)\b/.test(name),
  );
  if (names.length < 5) throw new Error(`/metrics lacks gauges: ${names.join()}`);
  return names
    .filter((name) => metrics.get(name) !== 0)
    .map((name) => `${name} ${String(metrics.get(name))}`);
}
