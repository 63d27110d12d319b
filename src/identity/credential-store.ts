import type { HostPoint } from './crash-points.ts';
import { equal, wipe } from '../bytes/bytes.ts';
import {
  type CurrentSlot,
  decodeCurrentSlot,
  encodeCurrentSlot,
  tokenDigest,
} from './current-slot.ts';
import { makeHostKeys, makeRequests } from './host-keys.ts';
import type { DecryptionKeyType, TlsKeyType } from './options.ts';
import {
  decodePendingSlot,
  encodePendingSlot,
  type PendingPurpose,
  type PendingSlot,
} from './pending-slot.ts';
import type { FoundState, StateDirectory } from './state-directory.ts';
import { StateFileError } from './state-file.ts';

export interface CredentialStoreOptions {
  readonly directory: StateDirectory;
  readonly tlsKeyType: TlsKeyType;
  readonly decryptionKeyType: DecryptionKeyType;
  readonly reached: (point: HostPoint) => void;
}

/** The keys and certificates of a host on disk: those in use, and those about to be asked for. */
export class CredentialStore {
  readonly #options: CredentialStoreOptions;
  #current: CurrentSlot | undefined;
  #pending: PendingSlot | undefined;

  private constructor(options: CredentialStoreOptions) {
    this.#options = options;
  }

  /** Reads what is there; `problems` name the files that were damaged, which were mended if possible. */
  static async open(options: CredentialStoreOptions): Promise<{
    readonly store: CredentialStore;
    readonly problems: readonly string[];
  }> {
    const store = new CredentialStore(options);
    const { directory } = options;
    const current = decoded(await directory.read('current'), directory, decodeCurrentSlot);
    const pending = decoded(await directory.read('pending'), directory, decodePendingSlot);
    store.#current = current.value;
    store.#pending = pending.value;
    const problems = [...current.problems, ...pending.problems];
    if (current.value !== undefined && current.problems.length > 0) {
      problems.push(...(await store.#mend('current', encodeCurrentSlot(current.value))));
    }
    if (pending.value !== undefined && pending.problems.length > 0) {
      problems.push(...(await store.#mend('pending', encodePendingSlot(pending.value))));
    }
    if (store.#isAnswered()) await store.#discardPending();
    return { store, problems };
  }

  get current(): CurrentSlot | undefined {
    return this.#current;
  }

  /** What was to be asked for when the process ended, unless it was answered. */
  get pending(): PendingSlot | undefined {
    return this.#pending;
  }

  /**
   * Keys and requests to use with a token: those on disk if they are for it, as the authority may have
   * answered them already; new ones otherwise, which are on disk when this resolves.
   */
  async prepare(purpose: PendingPurpose, token: string): Promise<PendingSlot> {
    const kept = this.#pending;
    if (kept?.token === token && kept.purpose.tag === purpose.tag) return kept;
    const { tlsKeyType, decryptionKeyType, reached, directory } = this.#options;
    const keys = await makeHostKeys(tlsKeyType, decryptionKeyType);
    const pending = { purpose, keys, requests: makeRequests(keys), token };
    reached('host.after_keys');
    const body = encodePendingSlot(pending);
    try {
      await directory.write('pending', body);
    } finally {
      wipe(body);
    }
    this.#pending = pending;
    reached('host.after_pending');
    return pending;
  }

  /** Puts new certificates in the place of the old ones; what was pending is done. */
  async install(slot: CurrentSlot): Promise<void> {
    const { reached } = this.#options;
    await this.#write(slot, () => {
      reached('host.after_current');
    });
    this.#current = slot;
    reached('host.after_copy');
    await this.#discardPending();
    reached('host.after_cleared');
  }

  /** Destroys all keys; durable when this resolves. */
  async forget(): Promise<void> {
    const { directory } = this.#options;
    this.#current = undefined;
    this.#pending = undefined;
    await directory.destroy('pending');
    await directory.destroy('current');
  }

  /** Remembers that the authority knows of the arrival. */
  async markConfirmed(): Promise<void> {
    if (this.#current === undefined) return;
    const slot = { ...this.#current, confirmed: true };
    await this.#write(slot);
    this.#current = slot;
    this.#options.reached('host.after_confirmed');
  }

  /** What was pending led to what is current: only the removal did not happen any more. */
  #isAnswered(): boolean {
    const [current, pending] = [this.#current, this.#pending];
    if (current === undefined || pending === undefined) return false;
    if (pending.purpose.tag === 'renewal') return pending.token !== current.renewalToken;
    return equal(tokenDigest(pending.token), current.enrolledWith);
  }

  async #discardPending(): Promise<void> {
    this.#pending = undefined;
    try {
      await this.#options.directory.remove('pending');
    } catch {
      // It is for a token that is spent, so nothing will use it; the next one takes its place.
    }
  }

  async #write(slot: CurrentSlot, written?: () => void): Promise<void> {
    const body = encodeCurrentSlot(slot);
    try {
      await this.#options.directory.write('current', body, written);
    } finally {
      wipe(body);
    }
  }

  async #mend(kind: 'current' | 'pending', body: Uint8Array): Promise<readonly string[]> {
    try {
      await this.#options.directory.write(kind, body);
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    } finally {
      wipe(body);
    }
  }
}

function decoded<T>(
  { body, problems }: FoundState,
  directory: StateDirectory,
  decode: (body: Uint8Array) => T,
): { readonly value: T | undefined; readonly problems: readonly string[] } {
  if (body === undefined) return { value: undefined, problems };
  try {
    return { value: decode(body), problems };
  } catch (error) {
    if (!(error instanceof StateFileError)) throw error;
    return {
      value: undefined,
      problems: [...problems, `a file in ${directory.path} ${error.message}`],
    };
  }
}
