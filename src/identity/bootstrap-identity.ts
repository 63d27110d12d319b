import type { Logger } from 'pino';
import { toHex, wipe } from '../bytes/bytes.ts';
import { generateKeyPairAsync } from '../crypto/key-generation.ts';
import { parseCertificate } from '../pki/index.ts';
import { bootstrapDueAt, certifyBootstrapKey, isBootstrapDue } from './bootstrap-certificate.ts';
import {
  type BootstrapState,
  decodeBootstrapState,
  encodeBootstrapState,
} from './bootstrap-state.ts';
import type { HostPoint } from './crash-points.ts';
import type { HostCredential } from './enrolled-identity.ts';
import type { EnrolmentLatch } from './enrolment-latch.ts';
import { StateDirectory } from './state-directory.ts';
import { StateFileError } from './state-file.ts';
import { Alarm, nodeTimers, type Timers } from './timers.ts';
import { Turns } from './turns.ts';

export interface BootstrapIdentityOptions {
  /** In the configuration; for messages. */
  readonly name: string;
  /** Where its key is kept: made if missing, and ours alone. */
  readonly directory: string;
  readonly now: () => Date;
  readonly log: Logger;
  /** Absent: Node's, which do not keep the process alive. */
  readonly timers?: Timers;
  /** Called when a step is done after which a crash must do no harm; for tests of that. */
  readonly reached?: (point: HostPoint) => void;
}

/**
 * What a host shows before it has enrolled: a key of its own with a certificate of its own making, by
 * whose hash a manager knows it. Once the host has enrolled, the key is destroyed and this stays shut,
 * whatever becomes of the enrolment, until it is forgotten; what then opens has another key.
 */
export class BootstrapIdentity implements EnrolmentLatch {
  readonly #options: BootstrapIdentityOptions;
  readonly #directory: StateDirectory;
  readonly #alarm: Alarm;
  readonly #listeners = new Set<() => void>();
  readonly #turns = new Turns();
  #state: BootstrapState | undefined;
  #damage: string | undefined;
  #problem: string | undefined;
  #credential: HostCredential | undefined;
  #shutting = false;
  #started = false;

  private constructor(options: BootstrapIdentityOptions, directory: StateDirectory) {
    this.#options = options;
    this.#directory = directory;
    this.#alarm = new Alarm(options.now, options.timers ?? nodeTimers);
  }

  /**
   * Reads what is kept in the directory; makes nothing yet, as the host may have enrolled long ago.
   * Rejects if another process uses the directory.
   */
  static async open(options: BootstrapIdentityOptions): Promise<BootstrapIdentity> {
    const directory = await StateDirectory.open(options.directory);
    const identity = new BootstrapIdentity(options, directory);
    try {
      await identity.#load();
      return identity;
    } catch (error) {
      await directory.close();
      throw error;
    }
  }

  get name(): string {
    return this.#options.name;
  }

  /** What to show to peers; absent when shut, and as long as there is no key. */
  get current(): HostCredential | undefined {
    return this.#shutting ? undefined : this.#credential;
  }

  /** The host has enrolled, and that was not forgotten. */
  get isShut(): boolean {
    return this.#shutting || this.#state?.tag === 'shut';
  }

  /** Why it cannot be used though it is not shut, or not for long; absent: all is well. */
  get problem(): string | undefined {
    return this.isShut ? undefined : (this.#damage ?? this.#problem);
  }

  /** Called after anything above has changed. Answers how to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Makes a key where there never was one, and renews the certificate in time from now on. */
  async start(): Promise<void> {
    this.#started = true;
    await this.#turns.run(() => this.#keepUp());
  }

  /** See {@link EnrolmentLatch}. In effect at once, also where it cannot be written. */
  shut(): Promise<void> {
    if (!this.isShut) {
      this.#shutting = true;
      this.#changed();
    }
    return this.#turns.run(async () => {
      if (this.#state?.tag === 'shut') return;
      const { name, now, log, reached } = this.#options;
      await this.#put({ tag: 'shut', at: now() });
      this.#shutting = false;
      this.#damage = undefined;
      reached?.('host.after_shut');
      log.info({ identity: name }, 'bootstrap identity is shut, its key destroyed');
      this.#changed();
    });
  }

  /** See {@link EnrolmentLatch}. One that is open already stays as it is. */
  reopen(): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#state?.tag === 'open' && !this.#shutting) return;
      await this.#makeKey();
      this.#shutting = false;
      this.#damage = undefined;
      this.#changed();
      this.#plan();
    });
  }

  /** Stops everything and lets go of the directory. */
  async close(): Promise<void> {
    this.#started = false;
    this.#alarm.clear();
    await this.#turns.settled();
    await this.#directory.close();
  }

  async #load(): Promise<void> {
    const { name, log } = this.#options;
    const { body, problems } = await this.#directory.read('bootstrap');
    for (const problem of problems) {
      log.error({ identity: name, problem }, 'a state file was damaged');
    }
    if (body !== undefined) {
      try {
        this.#take(decodeBootstrapState(body));
        return;
      } catch (error) {
        if (!(error instanceof StateFileError)) throw error;
        this.#damage = `${this.#directory.path}: ${error.message}`;
      }
    } else if (problems.length > 0) {
      this.#damage = problems[0];
    }
    // It may have said that this is shut: a damaged file must not open it again.
    if (this.#damage !== undefined) {
      this.#damage += '; if the host never enrolled, stop the sidecar and remove the directory';
    }
  }

  /** Never rejects: with a disk that cannot be written there is no key, or the old certificate. */
  async #keepUp(): Promise<void> {
    const { now, log, name } = this.#options;
    if (this.#shutting || this.#state?.tag === 'shut' || this.#damage !== undefined) return;
    try {
      if (this.#state === undefined) {
        await this.#makeKey();
        this.#changed();
      } else if (isBootstrapDue(parseCertificate(this.#state.certificate), now())) {
        const { privateKey } = this.#state;
        const certificate = certifyBootstrapKey(privateKey, now());
        await this.#put({ tag: 'open', privateKey, certificate });
        log.info({ identity: name }, 'bootstrap certificate renewed');
        this.#changed();
      }
      this.#problem = undefined;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : String(error);
      log.error({ err: error, identity: name }, 'bootstrap certificate not made');
      this.#changed();
    }
    this.#plan();
  }

  async #makeKey(): Promise<void> {
    const { now, log, name, reached } = this.#options;
    const { privateKey } = await generateKeyPairAsync('ecdsa-p256');
    const certificate = certifyBootstrapKey(privateKey, now());
    await this.#put({ tag: 'open', privateKey, certificate });
    reached?.('host.after_bootstrap');
    log.info({ identity: name }, 'bootstrap key made');
  }

  /** On disk first; keys that were there before are destroyed. */
  async #put(state: BootstrapState): Promise<void> {
    const body = encodeBootstrapState(state);
    try {
      await this.#directory.supersede('bootstrap', body);
    } finally {
      wipe(body);
    }
    this.#take(state);
  }

  #take(state: BootstrapState): void {
    this.#state = state;
    if (state.tag === 'shut') {
      this.#alarm.clear();
      this.#credential = undefined;
      return;
    }
    const { privateKey, certificate } = state;
    const version = toHex(parseCertificate(certificate).fingerprint);
    this.#credential = { version, privateKey, chain: [certificate] };
  }

  #plan(): void {
    if (!this.#started || this.isShut) return;
    const { now } = this.#options;
    const dueAt =
      this.#state?.tag !== 'open' || this.#problem !== undefined
        ? new Date(now().getTime() + retryMs)
        : bootstrapDueAt(parseCertificate(this.#state.certificate));
    this.#alarm.set(dueAt, () => {
      void this.#turns.run(() => this.#keepUp());
    });
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

const retryMs = 60_000;
