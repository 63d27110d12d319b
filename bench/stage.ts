import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createTestCa, type TestCa, writeIdentity } from '../test/support/test-ca.ts';
import { pin, type Side, startNode, stop } from './pinned-process.ts';
import { serverName, type StackSettings } from './stacks.ts';

/** The ways of doing TLS in the columns of the table. */
export const variants = {
  tls: { title: 'node:tls', stack: 'node:tls', recordCipher: 'node' },
  native: { title: 'offload', stack: 'offload', recordCipher: 'native' },
  node: { title: 'offload, node:crypto records', stack: 'offload', recordCipher: 'node' },
} as const;
export type Variant = keyof typeof variants;

/**
 * Everything the ends need: a throw-away CA, and for each end a sidecar without session tickets
 * and one with them.
 */
export class Stage {
  readonly #directory = mkdtempSync(join(tmpdir(), 'sidekey-bench-'));
  readonly #sidecars: Record<Side, readonly ChildProcess[]>;

  constructor() {
    const ca = createTestCa({ name: 'Bench Root' });
    writeFileSync(join(this.#directory, 'ca.pem'), ca.pem);
    this.#sidecars = {
      client: this.#startSide(ca, 'client'),
      server: this.#startSide(ca, 'server'),
    };
  }

  /** Resolves when all sidecars listen. Rejects when one ends instead, having said why. */
  async ready(): Promise<void> {
    const sockets = (['client', 'server'] as const).flatMap((side) =>
      ['full', 'resuming'].map((name) => this.#path(side, name, 'sidecar.sock')),
    );
    while (!sockets.every((path) => existsSync(path))) {
      const ended = Object.values(this.#sidecars)
        .flat()
        .some((child) => child.exitCode !== null);
      if (ended) throw new Error('a sidecar did not start');
      await delay(20);
    }
    for (const side of ['client', 'server'] as const) {
      for (const child of this.#sidecars[side]) pin(child, side);
    }
  }

  /** Process ids of an end's sidecars. */
  sidecarPids(side: Side): readonly number[] {
    return this.#sidecars[side].map((child) => child.pid ?? 0);
  }

  settings(variant: Variant): Record<Side, StackSettings> {
    const { stack, recordCipher } = variants[variant];
    const of = (side: Side): StackSettings => ({
      stack,
      recordCipher,
      sidecar: `unix:${this.#path(side, 'full', 'sidecar.sock')}`,
      resumingSidecar: `unix:${this.#path(side, 'resuming', 'sidecar.sock')}`,
      files: {
        ca: join(this.#directory, 'ca.pem'),
        ecdsaCertificate: this.#path(side, 'ecdsa.pem'),
        ecdsaKey: this.#path(side, 'ecdsa.key'),
        rsaCertificate: this.#path(side, 'rsa.pem'),
        rsaKey: this.#path(side, 'rsa.key'),
      },
    });
    return { client: of('client'), server: of('server') };
  }

  async stop(): Promise<void> {
    await Promise.all(Object.values(this.#sidecars).flat().map(stop));
    rmSync(this.#directory, { recursive: true });
  }

  #path(...names: readonly string[]): string {
    return join(this.#directory, ...names);
  }

  #startSide(ca: TestCa, side: Side): readonly ChildProcess[] {
    mkdirSync(this.#path(side));
    for (const [name, keyKind] of [
      ['ecdsa', 'ecdsa-p256'],
      ['rsa', 'rsa'],
    ] as const) {
      const issued = ca.issue({
        keyKind,
        intermediate: true,
        commonName: `${side} ${name}`,
        ...(side === 'server' ? { dnsNames: [serverName] } : {}),
        uris: [`spiffe://bench.test/service/${side}-${name}`],
      });
      writeIdentity(this.#path(side), name, issued);
    }
    return [this.#startSidecar(side, 'full', false), this.#startSidecar(side, 'resuming', true)];
  }

  #startSidecar(side: Side, name: string, sessionTickets: boolean): ChildProcess {
    mkdirSync(this.#path(side, name));
    const config = this.#path(side, name, 'sidecar.yaml');
    const identity = (key: string): object => ({
      certificate: this.#path(side, `${key}.pem`),
      privateKey: this.#path(side, `${key}.key`),
      default: key === 'ecdsa',
    });
    // JSON is YAML, and needs no quoting rules of ours.
    const settings = {
      state: './state',
      listen: [{ address: 'unix:./sidecar.sock' }],
      identities: { ecdsa: identity('ecdsa'), rsa: identity('rsa') },
      trust: { bundle: this.#path('ca.pem') },
      tls: { sessionTickets, namedGroups: ['secp256r1'] },
      // The bench is the only caller, and has up to 64 handshakes in flight.
      limits: { callerShare: 1 },
      log: { level: 'warn' },
    };
    writeFileSync(config, JSON.stringify(settings, undefined, 2));
    const main = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
    return startNode([main, 'sidecar', '--config', config], 'ignore');
  }
}
