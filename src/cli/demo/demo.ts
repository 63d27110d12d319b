import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeFailure } from '../failure.ts';
import { print, printError, styled } from '../terminal.ts';
import { enrolFleet, revokeHost } from './fleet.ts';
import { activateFleet } from './managed/activate-fleet.ts';
import { type DemoNetwork, openNetwork } from './managed/network.ts';
import { killAllSidecars, manage, revokeAgent, rotateRoot } from './managed/steps.ts';
import { searchObstacle } from './memory-search.ts';
import { ProcessGroup } from './processes.ts';
import { castRoles, type Stage, startApplications, startSidecars } from './stage.ts';
import {
  killSidecars,
  searchApplications,
  serveRequests,
  serveStockClient,
  showHandshake,
  visitStockServer,
} from './steps.ts';
import { chooseStockPeer } from './stock/stock-peer.ts';
import { StepFailedError, Story } from './story.ts';

export interface DemoOptions {
  /** TLS program to talk to besides ours; absent: openssl if installed, else `node:tls`. */
  readonly stockPeer: 'openssl' | 'node' | undefined;
}

/**
 * Shows the main job on this machine, step by step, each with what it proves. Leaves neither
 * processes nor files behind, also when it is interrupted.
 *
 * @returns whether every step showed what it is there to show
 */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'sidekey-demo-'));
  const processes = new ProcessGroup();
  const story = new Story();
  const interrupted = new AbortController();
  const interrupt = (): void => {
    interrupted.abort();
  };
  for (const signal of endings) process.once(signal, interrupt);
  print(
    styled('bold', 'Applications without keys, sidecars with them, an authority: one machine.'),
  );
  try {
    await Promise.race([play(options, directory, processes, story), abortOf(interrupted.signal)]);
    story.conclude();
    return true;
  } catch (error) {
    story.conclude();
    printError(`\nsidekey demo: ${complaint(error)}`);
    return false;
  } finally {
    for (const signal of endings) process.off(signal, interrupt);
    await processes.killAll();
    await rm(directory, { recursive: true, force: true });
  }
}

async function play(
  options: DemoOptions,
  directory: string,
  processes: ProcessGroup,
  story: Story,
): Promise<void> {
  const cast = await story.step('A throw-away certificate authority gives each host a key', () =>
    castRoles(directory, story),
  );
  const sidecars = await story.step('Two sidecars: nobody else reads these keys', () =>
    startSidecars(cast, story, processes),
  );
  const applications = await story.step('Two applications, which were given no key', () =>
    startApplications(cast, story, processes),
  );
  const stage = { ...cast, story, processes, sidecars, ...applications };
  try {
    await perform(stage, options);
  } finally {
    stage.tap.close();
  }
}

async function perform(stage: Stage, options: DemoOptions): Promise<void> {
  const { story } = stage;
  await story.step('The client application fetches a page; the handshake as it passes', () =>
    showHandshake(stage),
  );
  await story.step('Ordinary traffic', () => serveRequests(stage));
  const search = 'Is a private key in the memory of an application?';
  const obstacle = searchObstacle(stage.serverApplication.pid);
  if (obstacle === undefined) await story.step(search, () => searchApplications(stage));
  else story.skip(search, obstacle);
  const peer = chooseStockPeer(options.stockPeer, stage.processes, {
    certificateFile: stage.stranger.certificateFile,
    privateKeyFile: stage.stranger.privateKeyFile,
    rootFile: stage.rootFile,
  });
  await story.step(`A stock client: ${peer.clientName}`, () => serveStockClient(stage, peer));
  await story.step(`A stock server: ${peer.serverName}`, () => visitStockServer(stage, peer));
  await story.step('Both sidecars are killed in the middle of a transfer', () =>
    killSidecars(stage),
  );
  const network = await openNetwork();
  try {
    await performFleet(stage, network);
  } finally {
    await network.close();
  }
}

async function performFleet(stage: Stage, network: DemoNetwork): Promise<void> {
  const { story } = stage;
  const fleet = await story.step('An authority, and two hosts that enrol with it', () =>
    enrolFleet(stage, network.meetingPoint),
  );
  await story.step('One of them is revoked while they talk', () => revokeHost(stage, fleet));
  const managed = await story.step(
    'A manager, and three agents that it reaches in three ways',
    () => activateFleet(stage, fleet, network),
  );
  await story.step('The manager asks, has things done, and configures', () =>
    manage(stage, managed),
  );
  await story.step('The root of all trust is replaced below them', () =>
    rotateRoot(stage, fleet, managed),
  );
  await story.step('All of their sidecars are killed, and come back', () =>
    killAllSidecars(stage, managed),
  );
  await story.step('One agent is revoked', () => revokeAgent(stage, fleet, managed));
}

function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(new StepFailedError('interrupted'));
    });
  });
}

/** A failed step quotes what a process said, lines and all. */
function complaint(error: unknown): string {
  return error instanceof StepFailedError ? error.message : describeFailure(error);
}

const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
