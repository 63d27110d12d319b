import { quantile } from '../statistics.ts';

/** What a number of calls took. */
export interface Rate {
  readonly count: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of this process, which is all of the hosts, for one item. */
  readonly clientCpuMs: number;
}

/** Does `work` for each item, `inFlight` at a time; whatever rejects ends it all. */
export async function measureRate<Item>(
  items: readonly Item[],
  inFlight: number,
  work: (item: Item) => Promise<void>,
): Promise<Rate> {
  const latencies: number[] = [];
  const queue = items.values();
  const usage = process.cpuUsage();
  const began = performance.now();
  const one = async (): Promise<void> => {
    for (const item of queue) {
      const started = performance.now();
      await work(item);
      latencies.push(performance.now() - started);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(usage);
  return {
    count: items.length,
    seconds,
    perSecond: items.length / seconds,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    clientCpuMs: (user + system) / 1000 / items.length,
  };
}
