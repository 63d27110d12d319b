import { preface, RawConnection } from './http2-frames.ts';
import { unless, until } from './report.ts';
import { SidecarProcess } from './sidecar-process.ts';
import { leftovers, type Stage } from './stage.ts';

/**
 * Connections that say nothing, or one byte of what opens HTTP/2: the sidecar lets go of them. That
 * takes a while, so the end of this is waited for when all else is done.
 */
export async function slowLoris({ fixture, report, atEnd }: Stage): Promise<void> {
  const sidecar = await SidecarProcess.started(fixture, { name: 'loris', role: 'client' });
  const connections = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const connection = await RawConnection.open(sidecar.socketPath);
      if (index % 2 === 1) await connection.send(preface.subarray(0, 1));
      return connection;
    }),
  );
  const since = performance.now();
  atEnd(async () => {
    const left = Math.max(1000, limitMs - (performance.now() - since));
    const freed = await until(() => connections.every(({ isClosed }) => isClosed), left);
    for (const connection of connections) connection.destroy();
    report.check('connections that say nothing, or one byte', [
      ...unless(freed, 'are kept for ever'),
    ]);
    report.check('slow loris, leftovers', await leftovers([sidecar]));
    await sidecar.stop();
  });
}

const count = 100;
/** Keep-alive asks after 30 s and waits for 10 s. */
const limitMs = 50_000;
