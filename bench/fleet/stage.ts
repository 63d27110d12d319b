import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import { type FleetClient, withManager } from '../../src/cli/fleet/client.ts';
import { exportPkcs8Pem, encodePem } from '../../src/pki/index.ts';
import { environment, program } from '../authority/stage.ts';
import { processCost } from '../process-cost.ts';
import { FleetAuthority, trustDomain } from './fleet-authority.ts';
import { freePort } from '../../test/support/free-port.ts';

/** A manager and its sidecar, built, each in a process of its own; agents are let in by policy. */
export class FleetStage {
  readonly authority = new FleetAuthority();
  readonly directory = mkdtempSync(join(tmpdir(), 'sidekey-bench-fleet-'));
  readonly port: number;
  readonly #heartbeatSeconds: number;
  #sidecar: ChildProcess | undefined;
  #manager: ChildProcess | undefined;

  private constructor(port: number, heartbeatSeconds: number) {
    this.port = port;
    this.#heartbeatSeconds = heartbeatSeconds;
  }

  static async open(heartbeatSeconds: number): Promise<FleetStage> {
    const stage = new FleetStage(await freePort(), heartbeatSeconds);
    stage.#writeFiles();
    stage.#sidecar = await stage.#start('sidecar', 'sidecar.yaml', /sidecar started/u);
    await stage.startManager();
    return stage;
  }

  async startManager(): Promise<number> {
    const began = performance.now();
    this.#manager = await this.#start('manager', 'manager.yaml', /manager started/u);
    return performance.now() - began;
  }

  /** As a crash: nothing gets the chance to say goodbye. */
  async killManager(): Promise<void> {
    if (this.#manager !== undefined) await ended(this.#manager, 'SIGKILL');
  }

  ask<Result>(work: (client: FleetClient) => Promise<Result>): Promise<Result> {
    return withManager({ kind: 'unix', path: join(this.directory, 'manager.sock') }, work);
  }

  get<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.output<Schema>> {
    return this.ask((client) => client.call({ method: 'GET', path }, schema));
  }

  /** MiB in memory, of the manager and of its sidecar. */
  get memory(): { readonly manager: number; readonly sidecar: number } {
    return { manager: rssMiB(this.#manager), sidecar: rssMiB(this.#sidecar) };
  }

  /** Seconds of processor the manager has had. */
  get managerSeconds(): number {
    return processCost(this.#manager?.pid ?? 0)?.cpuSeconds ?? NaN;
  }

  async close(): Promise<void> {
    for (const child of [this.#manager, this.#sidecar]) {
      if (child !== undefined) await ended(child, 'SIGKILL');
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  #writeFiles(): void {
    const path = (name: string): string => join(this.directory, name);
    const id = `spiffe://${trustDomain}/manager/00000000-0000-4000-8000-000000000001`;
    const { chain, privateKey } = this.authority.issue(id);
    writeFileSync(
      path('manager.pem'),
      Buffer.concat(chain.map((der) => encodePem('CERTIFICATE', der))),
    );
    writeFileSync(path('manager.key'), exportPkcs8Pem(privateKey), { mode: 0o600 });
    writeFileSync(path('roots.pem'), this.authority.rootPem);
    mkdirSync(path('state'));
    writeFileSync(
      path('sidecar.yaml'),
      `state: ./sidecar-state
listen: [{ address: "unix:./sidecar.sock" }]
identities:
  manager: { certificate: ./manager.pem, privateKey: ./manager.key, default: true }
trust: { bundle: ./roots.pem }
limits: { callerShare: 1, messagesPerSecond: 1000 }
log: { level: info }
`,
    );
    writeFileSync(
      path('manager.yaml'),
      `state: ./state
sidecar: unix:${this.directory}/sidecar.sock
listen: 127.0.0.1:${String(this.port)}
activation: { automatic: [{ any: true }] }
heartbeat: { interval: ${String(this.#heartbeatSeconds)}s }
limits: { handshakesWaiting: 16384 }
log: { level: info }
`,
    );
  }

  async #start(command: string, config: string, ready: RegExp): Promise<ChildProcess> {
    const child = spawn(
      process.execPath,
      [program, command, '--config', join(this.directory, config)],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: environment,
      },
    );
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-10_000);
    });
    while (!ready.test(said)) {
      if (child.exitCode !== null) throw new Error(`${command} did not start: ${said}`);
      await delay(5);
    }
    return child;
  }
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

function rssMiB(child: ChildProcess | undefined): number {
  const status = readFileSync(`/proc/${String(child?.pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/mu.exec(status)?.[1]) / 1024;
}
