import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createOffload } from '../../offload/index.ts';
import { listening } from './applications/messages.ts';
import { DemoAuthority, type IssuedIdentity } from './authority.ts';
import { ask, type DemoProcess, type ProcessGroup } from './processes.ts';
import { type DemoHost, prepareHost, startSidecar } from './sidecars.ts';
import { StepFailedError, type Story } from './story.ts';
import { Tap } from './tap.ts';

/** Files and names, before anything runs. */
export interface Cast {
  readonly rootFile: string;
  /** Whose application is the server. */
  readonly shop: DemoHost;
  /** Whose application is the client. */
  readonly till: DemoHost;
  /** For the stock programs, which read their key themselves. */
  readonly stranger: IssuedIdentity;
  readonly strangerId: string;
}

/** The running scene all later steps play in. */
export interface Stage extends Cast {
  readonly story: Story;
  readonly processes: ProcessGroup;
  readonly sidecars: readonly [DemoProcess, DemoProcess];
  readonly serverApplication: DemoProcess;
  readonly clientApplication: DemoProcess;
  /** Port of the server application. */
  readonly serverPort: number;
  /** In front of the server application. */
  readonly tap: Tap;
}

/** A throw-away authority, and one key with a certificate for each host and the stranger. */
export async function castRoles(directory: string, story: Story): Promise<Cast> {
  const authority = new DemoAuthority();
  const rootFile = join(directory, 'roots.pem');
  await writeFile(rootFile, authority.rootPem);
  const shop = await prepareHost(authority, join(directory, 'shop'), rootFile, {
    name: 'shop',
    dnsNames: ['localhost'],
  });
  const till = await prepareHost(authority, join(directory, 'till'), rootFile, {
    name: 'till',
    dnsNames: [],
  });
  const strangerId = 'spiffe://demo.test/service/stock-peer';
  const stranger = await authority.issue(join(directory, 'stock'), 'stock', {
    uris: [strangerId],
    dnsNames: ['localhost'],
  });
  story.fact('directory', `${directory} (removed at the end)`);
  story.fact('host shop', shop.spiffeId);
  story.fact('host till', till.spiffeId);
  story.fact('a stock TLS program', strangerId);
  story.proves('each host has a key and a certificate of one authority');
  return { rootFile, shop, till, stranger, strangerId };
}

/** Starts both sidecars and waits until they can sign. */
export async function startSidecars(
  cast: Cast,
  story: Story,
  processes: ProcessGroup,
): Promise<readonly [DemoProcess, DemoProcess]> {
  const start = async (host: DemoHost): Promise<DemoProcess> => {
    const sidecar = startSidecar(processes, host);
    const offload = createOffload({ address: host.sidecarAddress });
    try {
      await offload.waitForSidecar({ timeoutMs: startTimeoutMs });
    } catch (cause) {
      throw new StepFailedError(`${sidecar.name} does not answer:\n${sidecar.lastOutput()}`, {
        cause,
      });
    } finally {
      await offload.close();
    }
    story.fact(sidecar.name, `process ${String(sidecar.pid)}, ${host.sidecarAddress}`);
    return sidecar;
  };
  const sidecars = await Promise.all([start(cast.shop), start(cast.till)]);
  story.proves('both sidecars can sign');
  return sidecars;
}

/** Starts both applications, and the tap on the wire between them. */
export async function startApplications(
  cast: Cast,
  story: Story,
  processes: ProcessGroup,
): Promise<Pick<Stage, 'serverApplication' | 'clientApplication' | 'serverPort' | 'tap'>> {
  const serverApplication = processes.startApplication(
    'server application',
    './applications/web-server',
    { sidecar: cast.shop.sidecarAddress },
  );
  const clientApplication = processes.startApplication(
    'client application',
    './applications/web-client',
    { sidecar: cast.till.sidecarAddress },
  );
  const { port } = listening.parse(await ask(serverApplication, { do: 'listen' }));
  const tap = await Tap.open(port);
  story.fact(
    'server application',
    `process ${String(serverApplication.pid)}, port ${String(port)}`,
  );
  story.fact('client application', `process ${String(clientApplication.pid)}`);
  story.fact('a tap on the wire', `port ${String(tap.port)}, changes nothing, names what passes`);
  story.proves('two applications run that were given the address of a sidecar and nothing else');
  return { serverApplication, clientApplication, serverPort: port, tap };
}

const startTimeoutMs = 15_000;
