import path from 'node:path';
import { inParallel } from '../interop/pool.ts';
import { type Ending, echoServer, exchange, isTyped } from './exchange.ts';
import { type Direction, type Fault, FaultRelay } from './fault-relay.ts';
import { faultsAt, label } from './faults.ts';
import { unless, until } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import {
  applicationTimeouts as timeouts,
  leftovers,
  limitMs,
  placesHeld,
  type Stage,
} from './stage.ts';

/**
 * Faults between an application and its sidecar at the bytes of its first handshake, as client and
 * as server. The connection that broke is given up; the next handshake of the same application
 * works, on another.
 */
export async function sidecarFaults(stage: Stage): Promise<void> {
  const { fixture, library, report } = stage;
  // A fault here costs ten times as much as one between peers: silence has to be found out first.
  const stride = stage.stride === 1 ? 1 : stage.stride * 6;
  const sidecars = {
    server: await SidecarProcess.started(fixture, { name: 'local-server', role: 'server' }),
    client: await SidecarProcess.started(fixture, { name: 'local-client', role: 'client' }),
  };
  const good = {
    server: library.createOffload({ address: sidecars.server.address, timeouts }),
    client: library.createOffload({ address: sidecars.client.address, timeouts }),
  };
  const goodServer = await echoServer(good.server);
  let relays = 0;

  for (const role of ['client', 'server'] as const) {
    /** One application with a connection to its sidecar that breaks, and its first two exchanges. */
    const through = async (fault: Fault | undefined) => {
      relays += 1;
      const socketPath = path.join(fixture.directory, `r${String(relays)}`);
      const target = { path: sidecars[role].socketPath };
      const relay = await FaultRelay.start({ target, path: socketPath, fault });
      const offload = library.createOffload({ address: `unix:${socketPath}`, timeouts });
      const server = role === 'server' ? await echoServer(offload) : goodServer;
      const dialler = role === 'client' ? offload : good.client;
      let lengths: Readonly<Record<Direction, number>> = { up: 0, down: 0 };
      const onSecure = (): void => {
        lengths = { ...relay.seen };
      };
      const ending = await exchange(dialler, server.port, { limitMs, onSecure });
      const tries = fault === undefined || isNoticed(fault) ? 1 : triesWhileUnnoticed;
      let next = await exchange(dialler, server.port, { limitMs });
      for (let tried = 1; tried < tries && next.code !== 'ok'; tried += 1) {
        next = await exchange(dialler, server.port, { limitMs });
      }
      const held = (): number => placesHeld(offload);
      await until(() => held() === 0, 10_000);
      const places = held();
      await offload.close();
      if (role === 'server') await server.close();
      relay.close();
      return { ending, next, places, lengths };
    };

    const { lengths } = await through(undefined);
    const faults = faultsAt(lengths, stride);
    await inParallel(
      atOnce,
      faults.map((fault) => async () => {
        const { ending, next, places } = await through(fault);
        report.check(label(`sidecar of a ${role},`, fault), [
          ...judge(fault, ending),
          ...unless(next.code === 'ok', `the next handshake ends with ${next.code}`),
          ...unless(places === 0, `${String(places)} places are held`),
        ]);
      }),
    );
    report.note(
      `between ${role} and sidecar: ${String(faults.length)} faults at ${String(lengths.up)} ` +
        `bytes to the sidecar and ${String(lengths.down)} from it`,
    );
  }
  await Promise.all([good.server.close(), good.client.close()]);
  await goodServer.close();
  report.check('sidecar faults, leftovers', await leftovers([sidecars.server, sidecars.client]));
  await Promise.all([sidecars.server.stop(), sidecars.client.stop()]);
}

function judge({ kind }: Fault, ending: Ending): readonly string[] {
  if (ending.code === 'ok') return [];
  return [
    ...unless(kind !== 'delay', `a delay ends it with ${ending.code}`),
    ...unless(isTyped(ending), `an untyped error: ${ending.code}`),
  ];
}

/** Whether the application is told at once that its connection is broken. */
function isNoticed({ kind }: Fault): boolean {
  return kind === 'cut' || kind === 'half-close' || kind === 'delay';
}

/** A connection that is silent is found dead within three seconds; handshakes fail meanwhile. */
const triesWhileUnnoticed = 4;
const atOnce = 40;
