import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeAuthority } from '../../../src/apps/authority/offline.ts';
import type { RunningAuthority } from '../../../src/apps/authority/run-authority.ts';
import { type Composition, startComposition } from '../../../src/apps/sidecar/composition.ts';
import type { Role } from '../../../src/ca/store/schema.ts';
import { createOffload, type Offload } from '../../../src/offload/index.ts';
import { parseSidecarConfig, type SidecarConfig } from '../../../src/sidecar/index.ts';
import { type LogLine, memoryLog } from '../../sidecar/fixture.ts';
import { freePort } from '../../support/free-port.ts';

/** One process of the system, in this one. */
export interface Member {
  readonly composition: Composition;
  readonly config: SidecarConfig;
  readonly directory: string;
  readonly log: readonly LogLine[];
}

/** An authority and hosts, each composed as its own process would be. */
export class Fleet {
  readonly #directory = mkdtempSync(join(tmpdir(), 'sidekey-fleet-'));
  readonly #members = new Set<Member>();
  readonly #offloads: Offload[] = [];
  #count = 0;

  /** Makes an authority and starts it. */
  async startAuthority(extra = ''): Promise<Member & { readonly running: RunningAuthority }> {
    // Hosts are told where it is by what is written when it is made.
    const port = await freePort();
    const config = this.#config(
      'authority',
      `state: ./state\nauthority:\n  trustDomain: example.org\n  listen: 127.0.0.1:${String(port)}\n  administration: { address: "unix:./a.sock" }\n${extra}`,
    );
    const { authority } = config;
    if (authority === undefined) throw new TypeError('no authority');
    await makeAuthority(authority);
    return await this.startAgain(config);
  }

  async startAgain(
    config: SidecarConfig,
  ): Promise<Member & { readonly running: RunningAuthority }> {
    const member = await this.#start(config);
    const running = member.composition.authority;
    if (running === undefined) throw new TypeError('no authority');
    return { ...member, running };
  }

  /** Starts a host with one enrolled identity, `host`, which has not enrolled yet. */
  async startHost(extra = ''): Promise<Member> {
    this.#count += 1;
    return await this.#start(
      this.#config(
        `host-${String(this.#count)}`,
        `state: ./state\nlisten: [{ address: "unix:./s.sock" }]\nidentities: { host: { enrolled: true, default: true } }\nadmin: { address: 127.0.0.1:0 }\n${extra}`,
      ),
    );
  }

  /** Starts a host whose configuration is given, but for its state and where it listens. */
  async startHostOf(listen: string, text: string): Promise<Member> {
    this.#count += 1;
    const whole = `state: ./state\nlisten: [{ address: "unix:./s.sock"${listen} }]\n${text}`;
    return await this.#start(this.#config(`host-${String(this.#count)}`, whole));
  }

  /** What somebody starts who copied a host's disk: its keys, certificates and tokens, as they are now. */
  async startCopy({ config, directory }: Member): Promise<Member> {
    this.#count += 1;
    const copy = this.#config(
      `host-${String(this.#count)}-copy`,
      readFileSync(config.file, 'utf8'),
    );
    cpSync(join(directory, 'state'), join(copy.file, '..', 'state'), { recursive: true });
    return await this.#start(copy);
  }

  async restart({ config, composition }: Member): Promise<Member> {
    await composition.close();
    return await this.#start(config);
  }

  /** Mints a bundle and has a host enrol with it; answers its SPIFFE ID. */
  async enroll(authority: RunningAuthority, host: Member, role: Role = 'service'): Promise<string> {
    const bundle = await this.mint(authority, role);
    const identity = host.composition.identities.all.get('host');
    if (identity === undefined) throw new TypeError('no identity');
    const { spiffeId } = await identity.enroll(bundle);
    return spiffeId;
  }

  async mint({ authority }: RunningAuthority, role: Role = 'service'): Promise<Uint8Array> {
    this.#count += 1;
    const batches = authority.mint.mint({
      key: `test-${String(this.#count)}`,
      role,
      properties: {},
      lifetimeMs: 3_600_000,
      count: 1,
      cap: 1,
      policy: undefined,
      caller: { name: 'owner', source: 'test' },
    });
    for await (const { bundles } of batches) {
      const [bundle] = bundles;
      if (bundle !== undefined) return bundle.file;
    }
    throw new TypeError('nothing was minted');
  }

  /** An application of a host. */
  application({ composition }: Member): Offload {
    const offload = createOffload({ address: composition.sidecar.address });
    this.#offloads.push(offload);
    return offload;
  }

  async close(): Promise<void> {
    for (const offload of this.#offloads.splice(0)) await offload.close();
    for (const { composition } of this.#members) await composition.close();
    this.#members.clear();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #config(name: string, text: string): SidecarConfig {
    const directory = mkdtempSync(join(this.#directory, `${name}-`));
    const file = join(directory, 'sidecar.yaml');
    writeFileSync(file, text);
    return parseSidecarConfig(text, file);
  }

  async #start(config: SidecarConfig): Promise<Member> {
    const { log, lines } = memoryLog();
    const composition = await startComposition(config, { log });
    const directory = join(config.file, '..');
    const member = { composition, config, directory, log: lines };
    this.#members.add(member);
    return member;
  }
}
