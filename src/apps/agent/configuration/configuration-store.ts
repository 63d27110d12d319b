import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, symlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { readBounded, syncDirectory } from '../../../identity/index.ts';
import type { AgentConfiguration } from '../../fleet/agent-api/configuration.ts';

/** Which configuration; version 0 stands for none. */
export interface ConfigurationId {
  readonly version: number;
  /** SHA-256 of its content, hexadecimal. */
  readonly hash: string;
}

/**
 * Configurations on disk: each a directory with the content as it came and one file per secret, all for our user
 * alone; `current` in the state directory leads to the one in force.
 */
export class ConfigurationStore {
  readonly #state: string;
  readonly #path: string;

  private constructor(state: string) {
    this.#state = state;
    this.#path = join(state, 'configurations');
  }

  /** Makes its directory and removes what was being written when the agent last ended. */
  static async open(state: string): Promise<ConfigurationStore> {
    const store = new ConfigurationStore(state);
    await mkdir(store.#path, { recursive: true, mode: 0o700 });
    await syncDirectory(state);
    for (const name of await readdir(store.#path)) {
      if (name.startsWith(stagingPrefix)) await store.#remove(name);
    }
    return store;
  }

  /** Where a configuration is, or will be. */
  directoryOf({ version, hash }: ConfigurationId): string {
    return join(this.#path, `${String(version)}-${hash.slice(0, 16)}`);
  }

  /** Writes one durably, without it being in force. */
  async stage(
    id: ConfigurationId,
    content: Uint8Array,
    secrets: AgentConfiguration['secrets'],
  ): Promise<void> {
    const staging = join(this.#path, `${stagingPrefix}${randomUUID()}`);
    await mkdir(join(staging, 'secrets'), { recursive: true, mode: 0o700 });
    await writeDurably(join(staging, 'content.json'), content);
    for (const [name, secret] of Object.entries(secrets)) {
      await writeDurably(join(staging, 'secrets', name), Buffer.from(secret));
    }
    await syncDirectory(join(staging, 'secrets'));
    await syncDirectory(staging);
    const directory = this.directoryOf(id);
    // One that was rolled back before.
    await rm(directory, { recursive: true, force: true });
    await rename(staging, directory);
    await syncDirectory(this.#path);
  }

  /** The content; `undefined`: it is not there, or damaged. */
  async read(id: ConfigurationId): Promise<Uint8Array | undefined> {
    const content = await readBounded(join(this.directoryOf(id), 'content.json'), maxContentBytes);
    if (content === undefined) return undefined;
    return createHash('sha256').update(content).digest('hex') === id.hash ? content : undefined;
  }

  /** Makes `current` lead to one, durably; version 0: nowhere. */
  async putInForce(id: ConfigurationId): Promise<void> {
    const current = join(this.#state, 'current');
    if (id.version === 0) {
      await rm(current, { force: true });
    } else {
      const next = join(this.#state, 'current.next');
      await rm(next, { force: true });
      // Relative: a state directory may be moved, or restored elsewhere.
      await symlink(relative(this.#state, this.directoryOf(id)), next);
      await rename(next, current);
    }
    await syncDirectory(this.#state);
  }

  /** Removes all but these, secrets and all. */
  async keepOnly(ids: readonly ConfigurationId[]): Promise<void> {
    const kept = new Set(ids.map((id) => this.directoryOf(id)));
    for (const name of await readdir(this.#path)) {
      if (!kept.has(join(this.#path, name))) await this.#remove(name);
    }
    await syncDirectory(this.#path);
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#path, name), { recursive: true, force: true });
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const stagingPrefix = '.staging-';
const maxContentBytes = 8 * 1024 * 1024;
