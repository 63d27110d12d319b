import type * as library from '../../src/offload/index.ts';
import type { Fixture } from '../interop/fixture.ts';
import { openThings, readMetrics } from '../soak/metrics.ts';
import { patience } from './patience.ts';
import type { Report } from './report.ts';
import { unless, until } from './report.ts';
import type { SidecarProcess } from './sidecar-process.ts';

/** What a scenario has to work with. */
export interface Stage {
  readonly fixture: Fixture;
  readonly library: typeof library;
  readonly report: Report;
  /** Every so many bytes of a handshake a fault is tried; 1: at every byte. */
  readonly stride: number;
  /** What can wait until all else is done. */
  readonly atEnd: (rest: () => Promise<void>) => void;
}

/** How an application behaves here: it gives up before a person would. */
export const applicationTimeouts = {
  handshakeMs: 4000 * patience,
  sidecarMs: 3500 * patience,
} as const;
/** An exchange that takes longer has no deadline; the machine may have much else to do. */
export const limitMs = 10_000 * patience;

/** Handshakes of an application that run or wait. */
export function placesHeld({ load }: library.Offload): number {
  const { client, server } = load;
  return client.running + client.queued + server.running + server.queued;
}

/** Nothing is open or queued any more; waits a little, as resets take their time. */
export async function leftovers(
  sidecars: readonly SidecarProcess[],
  sockets: () => number | Promise<number> = () => 0,
): Promise<readonly string[]> {
  const problems: string[] = [];
  const count = async (): Promise<number> => await sockets();
  const gone = await until(async () => (await count()) === 0, 10_000);
  problems.push(...unless(gone, `${String(await count())} sockets stay open`));
  for (const { daemon, address } of sidecars) {
    let open: readonly string[] = [];
    await until(async () => {
      open = openThings(await readMetrics({ address, daemon }));
      return open.length === 0;
    }, 10_000);
    problems.push(...open.map((what) => `still open in a sidecar: ${what}`));
  }
  return problems;
}
