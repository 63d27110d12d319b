import { findDifference } from './cell.ts';
import type { Cell, Outcome } from './cell.ts';
import type { Bench } from './checks/check.ts';
import { interopDomain } from './fixture.ts';
import { keyNames } from './peer.ts';
import type { Peer, PeerClient, PeerServer, Row } from './peer.ts';

/** Both handshakes of one row: the full one and the one that resumes it. */
export interface Pair {
  readonly full: Outcome;
  readonly resumed: Outcome;
}

/** One piece of work: a peer in one role on one row. */
export interface Job {
  readonly peer: Peer;
  readonly role: 'client' | 'server';
  readonly row: Row;
  run(): Promise<Pair>;
}

const rows: readonly Row[] = keyNames.flatMap((key) => [
  { key, clientCertificate: false },
  { key, clientCertificate: true },
]);

/** The whole matrix for the peers given, those that are missing as skipped jobs. */
export function createJobs(
  peers: readonly { readonly peer: Peer; readonly missing: string | undefined }[],
  bench: Bench,
): readonly Job[] {
  return peers.flatMap(({ peer, missing }) =>
    (['server', 'client'] as const).flatMap((role) =>
      rows.map((row) => ({
        peer,
        role,
        row,
        run: () => {
          const side = peer[role];
          const never = missing ?? (role === 'server' ? peer.noServer : peer.noClient);
          const reason = never ?? side?.cannot(row);
          if (side === undefined || reason !== undefined) return skipBoth(reason ?? 'no such role');
          return settle(
            'start' in side
              ? driveServer(bench, side, row, nameFor(peer, row))
              : driveClient(bench, side, row, nameFor(peer, row)),
          );
        },
      })),
    ),
  );
}

/** Runs a job and answers its two cells. */
export async function runJob(job: Job): Promise<readonly Cell[]> {
  const { full, resumed } = await job.run();
  const common = { peer: job.peer.name, role: job.role, ...job.row };
  return [
    { ...common, resumed: false, outcome: full },
    { ...common, resumed: true, outcome: resumed },
  ];
}

/** The peer serves, we connect twice. */
export async function driveServer(
  { ours, fixture }: Bench,
  side: PeerServer,
  row: Row,
  serverName: string,
): Promise<Pair> {
  const server = await side.start(row, fixture);
  try {
    const connect = async (resumed: boolean): Promise<Outcome> => {
      const { answer, view } = await ours.connect(row, {
        port: server.port,
        serverName,
        request: server.request,
        answerEnd: server.answerEnd,
      });
      const theirs = server.read(answer);
      const difference = findDifference(view, theirs, {
        ...row,
        resumed,
        serverName,
        peerIdentity: fixture.server[row.key].spiffeId,
        ourName: row.clientCertificate ? fixture.client[row.key].commonName : undefined,
      });
      return difference === undefined
        ? { status: 'passed' }
        : { status: 'failed', why: difference };
    };
    const full = await attempt(() => connect(false));
    const cannot = side.cannotResume(row);
    if (cannot !== undefined) return { full, resumed: { status: 'skipped', why: cannot } };
    return { full, resumed: await attempt(() => connect(true)) };
  } finally {
    await server.stop();
  }
}

/** We serve, the peer fetches the page once or twice. */
export async function driveClient(
  bench: Bench,
  side: PeerClient,
  row: Row,
  serverName: string,
): Promise<Pair> {
  const server = await bench.server(row);
  const { fixture } = bench;
  const runs = await side.fetch(row, { port: server.port, serverName }, fixture);
  const judge = (resumed: boolean): Outcome => {
    const run = runs[resumed ? 1 : 0];
    if (run === undefined) return { status: 'failed', why: 'the peer did not connect again' };
    const difference = findDifference(server.readPage(run.page), run.view, {
      ...row,
      resumed,
      serverName: side.serverName ?? serverName,
      peerIdentity: row.clientCertificate ? fixture.client[row.key].spiffeId : undefined,
      ourName: fixture.server[row.key].commonName,
    });
    return difference === undefined ? { status: 'passed' } : { status: 'failed', why: difference };
  };
  const cannot = side.cannotResume(row);
  return {
    full: await attempt(() => judge(false)),
    resumed:
      cannot === undefined ? await attempt(() => judge(true)) : { status: 'skipped', why: cannot },
  };
}

/** A name of its own for each job, so that no other job's session is there to be resumed. */
function nameFor(peer: Peer, row: Row): string {
  const label = peer.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return `${label}-${row.key}${row.clientCertificate ? '-mutual' : ''}.${interopDomain}`;
}

async function attempt(work: () => Outcome | Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    return { status: 'failed', why: messageOf(error) };
  }
}

async function settle(pair: Promise<Pair>): Promise<Pair> {
  try {
    return await pair;
  } catch (error) {
    const failed = { status: 'failed', why: messageOf(error) } as const;
    return { full: failed, resumed: failed };
  }
}

function skipBoth(why: string): Promise<Pair> {
  const skipped = { status: 'skipped', why } as const;
  return Promise.resolve({ full: skipped, resumed: skipped });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
