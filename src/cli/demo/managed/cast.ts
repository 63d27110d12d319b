import { X509Certificate } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnrolmentBundle } from '../../../identity/enrolment-bundle.ts';
import { type FleetClient, withManager } from '../../fleet/client.ts';
import { type DemoProcess, type ProcessGroup, waitForOutput } from '../processes.ts';
import type { DemoNetwork } from './network.ts';

/** A sidecar that can be started again. */
export interface ManagedHost {
  readonly name: string;
  readonly sidecarAddress: string;
  sidecar: DemoProcess;
  startSidecar(): Promise<void>;
}

/** The manager, three agents, and what they run on. */
export interface ManagedFleet {
  readonly directory: string;
  readonly network: DemoNetwork;
  readonly manager: ManagedHost;
  readonly agents: readonly ManagedHost[];
  /** Processes that are not sidecars, by host. */
  readonly applications: ReadonlyMap<string, DemoProcess>;
  /** A file whose content the agents watch. */
  readonly watched: string;
  ask<Result>(work: (client: FleetClient) => Promise<Result>): Promise<Result>;
}

/** How the three agents connect. */
export const roles = {
  dialled: 'manager-initiated',
  roaming: 'agent-initiated',
  either: 'bidirectional',
} as const;
export type AgentName = keyof typeof roles;

/** Starts a sidecar, and a manager or agent beside it, by files such as a person would write. */
export class Casting {
  readonly #processes: ProcessGroup;
  readonly directory: string;

  constructor(processes: ProcessGroup, directory: string) {
    this.#processes = processes;
    this.directory = directory;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** The roots of the authority, as an operator hands them to hosts that have not enrolled. */
  async writeRoots(bundleFile: string): Promise<void> {
    const { roots } = parseEnrolmentBundle(await readFile(bundleFile));
    const pem = roots.map((der) => new X509Certificate(der).toString()).join('');
    await writeFile(this.path('roots.pem'), pem);
  }

  async startHost(
    name: string,
    identities: string,
    options: { readonly allow?: string; readonly within?: readonly string[] | undefined } = {},
  ): Promise<ManagedHost> {
    await mkdir(this.path(name), { mode: 0o700 });
    const config = this.path(`${name}/sidecar.yaml`);
    const socket = this.path(`${name}/sidecar.sock`);
    const allow = options.allow === undefined ? '' : `, allow: [${options.allow}]`;
    await writeFile(
      config,
      `listen: [{ address: "unix:./sidecar.sock"${allow} }]\nidentities:\n${identities}`,
    );
    const start = async (): Promise<DemoProcess> => {
      const sidecar = this.#processes.startSidekey(
        `sidecar of ${name}`,
        ['sidecar', '--config', config],
        options.within,
      );
      await waitForOutput(sidecar, /sidecar started/u);
      return sidecar;
    };
    const host: ManagedHost = {
      name,
      sidecarAddress: `unix:${socket}`,
      sidecar: await start(),
      startSidecar: async () => {
        host.sidecar = await start();
      },
    };
    return host;
  }

  enroll(host: ManagedHost, bundleFile: string): Promise<string> {
    return this.#processes.runSidekey('enroll', [
      'enroll',
      '--bundle',
      bundleFile,
      '--sidecar',
      host.sidecarAddress,
    ]);
  }

  async startManager(host: ManagedHost, address: string): Promise<DemoProcess> {
    const config = this.path('manager/manager.yaml');
    await writeFile(
      config,
      [
        'state: ./manager-state',
        `sidecar: "${host.sidecarAddress}"`,
        'identity: manager',
        `listen: "${address}"`,
        'heartbeat: { interval: 500ms, timeout: 5s }',
        'reconnect: { first: 200ms, most: 1s }',
        // Which says when a connection comes or goes.
        'log: { level: debug }',
        '',
      ].join('\n'),
    );
    const manager = this.#processes.startSidekey('manager', ['manager', '--config', config]);
    await waitForOutput(manager, /agents can dial/u);
    return manager;
  }

  async startAgent(
    host: ManagedHost,
    settings: readonly string[],
    within?: readonly string[],
  ): Promise<DemoProcess> {
    const config = this.path(`${host.name}/agent.yaml`);
    await writeFile(
      config,
      [
        'state: ./agent-state',
        `sidecar: "${host.sidecarAddress}"`,
        'identity: host',
        'reconnect: { least: 100ms, first: 500ms, most: 1s }',
        'operations:',
        '  greet: { command: [/bin/echo, "hello {whom}"], arguments: { whom: { pattern: "[a-z]+" } } }',
        `files: { allow: ["${this.directory}"] }`,
        ...settings,
        '',
      ].join('\n'),
    );
    const agent = this.#processes.startSidekey(
      `agent ${host.name}`,
      ['agent', '--config', config],
      within,
    );
    await waitForOutput(agent, /agent started/u);
    return agent;
  }

  ask<Result>(work: (client: FleetClient) => Promise<Result>): Promise<Result> {
    return withManager({ kind: 'unix', path: this.path('manager/manager.sock') }, work);
  }
}
