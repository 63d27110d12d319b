import { once } from 'node:events';
import path from 'node:path';
import { type Ending, echoServer, exchange, isTyped } from './exchange.ts';
import { type Direction, FaultRelay } from './fault-relay.ts';
import { pause, unless } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { applicationTimeouts as timeouts, limitMs, type Stage } from './stage.ts';

/**
 * Kills a sidecar in every phase of a handshake, as the client's and as the server's. The handshake
 * ends in an error the application understands, or goes on; another sidecar takes the place of the
 * dead one, and serves the same application.
 */
export async function kills(stage: Stage): Promise<void> {
  const { fixture, library, report } = stage;
  const sidecars = {
    server: await SidecarProcess.started(fixture, { name: 'kill-server', role: 'server' }),
    client: await SidecarProcess.started(fixture, { name: 'kill-client', role: 'client' }),
  };
  let relays = 0;

  const killAt = async (
    role: 'client' | 'server',
    direction: Direction,
    message: number,
  ): Promise<void> => {
    const name = `kill -9 of a ${role}'s sidecar, message ${String(message)} ${direction}`;
    relays += 1;
    const socket = path.join(fixture.directory, `k${String(relays)}`);
    const frames = { up: new DataFrames('up'), down: new DataFrames('down') };
    let killed: Promise<void> | undefined;
    const relay = await FaultRelay.start({
      target: { path: sidecars[role].socketPath },
      path: socket,
      tap: (from, bytes) => {
        if (killed !== undefined) return true;
        const count = frames[from].take(bytes);
        if (from !== direction || count < message) return true;
        killed = sidecars[role].kill();
        // Downwards, the sidecar died before its answer left it; upwards, as it was asked.
        return direction === 'up';
      },
    });
    const address = `unix:${socket}`;
    const offloads = {
      client: library.createOffload({
        address: role === 'client' ? address : sidecars.client.address,
        timeouts,
      }),
      server: library.createOffload({
        address: role === 'server' ? address : sidecars.server.address,
        timeouts,
      }),
    };
    const server = await echoServer(offloads.server);
    const ending = await exchange(offloads.client, server.port, { limitMs });
    const problems: string[] = [
      ...unless(killed !== undefined, 'was not killed'),
      ...typed(ending),
    ];
    await killed;
    await sidecars[role].start();
    const next = await exchange(offloads.client, server.port, { limitMs });
    problems.push(...unless(next.code === 'ok', `after a restart it ends with ${next.code}`));
    report.check(name, problems);
    await Promise.all([offloads.client.close(), offloads.server.close(), server.close()]);
    relay.close();
  };

  for (const role of ['client', 'server'] as const) {
    for (const direction of ['up', 'down'] as const) {
      for (let message = 1; message <= messages[role][direction]; message += 1) {
        await killAt(role, direction, message);
      }
    }
  }
  await whileAway(stage, sidecars);
  await afterHandOver(stage, sidecars);
  await Promise.all([sidecars.server.stop(), sidecars.client.stop()]);
}

interface Sidecars {
  readonly client: SidecarProcess;
  readonly server: SidecarProcess;
}

/** No sidecar: an error in time, or the handshake waits for the one that comes. */
async function whileAway({ library, report }: Stage, sidecars: Sidecars): Promise<void> {
  const client = library.createOffload({ address: sidecars.client.address, timeouts });
  const patient = library.createOffload({ address: sidecars.client.address });
  const serverSide = library.createOffload({ address: sidecars.server.address, timeouts });
  const server = await echoServer(serverSide);
  await sidecars.client.kill();
  const ending = await exchange(client, server.port, { limitMs });
  report.check('no sidecar', [
    ...unless(ending.code === 'ERR_OFFLOAD_UNAVAILABLE', `ends with ${ending.code}`),
  ]);
  const waiting = exchange(patient, server.port, { limitMs });
  await sidecars.client.start();
  const waited = await waiting;
  report.check('a sidecar that comes back in time', [
    ...unless(waited.code === 'ok', `ends with ${waited.code}`),
  ]);
  await Promise.all([client.close(), patient.close(), server.close(), serverSide.close()]);
}

/** Established connections do without a sidecar, and do not notice the next one. */
async function afterHandOver({ library, report }: Stage, sidecars: Sidecars): Promise<void> {
  const client = library.createOffload({ address: sidecars.client.address, timeouts });
  const serverSide = library.createOffload({ address: sidecars.server.address, timeouts });
  const server = await echoServer(serverSide);
  const socket = client.connect({
    host: '127.0.0.1',
    port: server.port,
    servername: 'established.interop.test',
  });
  const problems: string[] = [];
  socket.on('error', (error) => problems.push(error.message));
  await once(socket, 'secureConnect');
  const echoes = async (text: string): Promise<void> => {
    socket.write(text);
    const heard = once(socket, 'data').then(([bytes]) => String(bytes));
    const answer = await Promise.race([heard, pause(limitMs)]);
    if (answer !== text) problems.push(`asked ${text}, heard ${String(answer)}`);
  };
  await echoes('before');
  await Promise.all([sidecars.client.kill(), sidecars.server.kill()]);
  await echoes('without');
  await Promise.all([sidecars.client.start(), sidecars.server.start()]);
  await echoes('with others');
  report.check('kill -9 of both sidecars after the hand-over', problems);
  socket.destroy();
  const next = await exchange(client, server.port, { limitMs });
  report.check('a new handshake of the same applications', [
    ...unless(next.code === 'ok', `ends with ${next.code}`),
  ]);
  await Promise.all([client.close(), server.close(), serverSide.close()]);
}

function typed(ending: Ending): readonly string[] {
  return unless(ending.code === 'ok' || isTyped(ending), `an untyped error: ${ending.code}`);
}

/** Messages of a full handshake between application and sidecar (`SetUpSession`). */
const messages = { client: { up: 3, down: 3 }, server: { up: 2, down: 2 } } as const;

/** Counts the DATA frames with something in them of one direction of an HTTP/2 connection. */
class DataFrames {
  #buffered = Buffer.alloc(0);
  #skip: number;
  #count = 0;

  constructor(direction: Direction) {
    this.#skip = direction === 'up' ? connectionPrefaceBytes : 0;
  }

  take(bytes: Buffer): number {
    this.#buffered = Buffer.concat([this.#buffered, bytes]);
    for (;;) {
      const skipped = Math.min(this.#skip, this.#buffered.length);
      this.#buffered = this.#buffered.subarray(skipped);
      this.#skip -= skipped;
      if (this.#skip > 0 || this.#buffered.length < 9) return this.#count;
      const length = this.#buffered.readUIntBE(0, 3);
      if (this.#buffered.readUInt8(3) === 0 && length > 0) this.#count += 1;
      this.#skip = 9 + length;
    }
  }
}

/** RFC 9113 §3.4. */
const connectionPrefaceBytes = 24;
