import { inParallel } from '../interop/pool.ts';
import { echoServer, exchange, isTyped } from './exchange.ts';
import { type Direction, type Fault, FaultRelay } from './fault-relay.ts';
import { faultsAt, label } from './faults.ts';
import { unless, until } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { applicationTimeouts, leftovers, limitMs, placesHeld, type Stage } from './stage.ts';

/**
 * Faults between an application and its peer at the bytes of a mutual handshake, in both
 * directions: both roles meet each of them.
 */
export async function peerFaults({ fixture, library, report, stride }: Stage): Promise<void> {
  const sidecars = {
    server: await SidecarProcess.started(fixture, { name: 'peer-server', role: 'server' }),
    client: await SidecarProcess.started(fixture, { name: 'peer-client', role: 'client' }),
  };
  const timeouts = applicationTimeouts;
  const serverSide = library.createOffload({ address: sidecars.server.address, timeouts });
  const clientSide = library.createOffload({ address: sidecars.client.address, timeouts });
  const server = await echoServer(serverSide);

  const through = async (fault: Fault | undefined) => {
    const relay = await FaultRelay.start({ target: { port: server.port }, fault });
    let lengths: Readonly<Record<Direction, number>> | undefined;
    const ending = await exchange(clientSide, relay.port, {
      limitMs,
      onSecure: () => {
        lengths ??= { ...relay.seen };
      },
    });
    relay.close();
    return { ending, lengths };
  };

  const { lengths } = await through(undefined);
  if (lengths === undefined) throw new Error('no handshake without a fault');
  const faults = faultsAt(lengths, stride);
  await inParallel(
    atOnce,
    faults.map((fault) => async () => {
      const { ending } = await through(fault);
      const harmless = fault.kind === 'delay';
      report.check(label('peer', fault), [
        ...unless(harmless === (ending.code === 'ok'), `ends with ${ending.code}`),
        ...unless(ending.code === 'ok' || isTyped(ending), `an untyped error: ${ending.code}`),
      ]);
    }),
  );
  const held = (): number => placesHeld(clientSide) + placesHeld(serverSide);
  report.check('peer faults, places of applications', [
    ...unless(await until(() => held() === 0, 5000), `${String(held())} places are held`),
  ]);
  const after = await through(undefined);
  report.check('peer faults, a handshake afterwards', [
    ...unless(after.ending.code === 'ok', after.ending.code),
  ]);
  report.check('peer faults, sockets', await leftovers([], server.connections));
  await Promise.all([clientSide.close(), serverSide.close()]);
  report.check('peer faults, sidecars', await leftovers([sidecars.server, sidecars.client]));
  await server.close();
  await Promise.all([sidecars.server.stop(), sidecars.client.stop()]);
  report.note(
    `between peers: ${String(faults.length)} faults at the ${String(lengths.up)} bytes to the ` +
      `server and ${String(lengths.down)} to the client, every ${String(stride)}th for each kind`,
  );
}

const atOnce = 48;
