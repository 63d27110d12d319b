import type { Logger } from 'pino';
import { equal } from '../../bytes/bytes.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { KeyManager, SigningKey } from '../keys/key-manager.ts';
import type { CaKind, CaState } from '../store/schema.ts';
import type { Queries } from '../store/transaction.ts';
import type { Generation, Generations, SigningGeneration } from './generation.ts';
import { readGenerations } from './read-generations.ts';

export interface LiveGenerationsOptions {
  readonly queries: Queries;
  readonly keys: KeyManager;
  readonly log: Logger;
}

/** Reads the generations and opens the keys that sign. Keys that cannot be opened are tried again at each refresh. */
export async function loadGenerations(options: LiveGenerationsOptions): Promise<Generations> {
  const generations = new LiveGenerations(options);
  await generations.refresh();
  return generations;
}

class LiveGenerations implements Generations {
  readonly #options: LiveGenerationsOptions;
  readonly #listeners = new Set<() => void>();
  #all: readonly Generation[] = [];
  #signing: ReadonlyMap<CaKind, SigningGeneration> = new Map();
  #refreshing: Promise<void> | undefined;
  #asked = 0;

  constructor(options: LiveGenerationsOptions) {
    this.#options = options;
  }

  signing(kind: CaKind): SigningGeneration {
    const found = this.#signing.get(kind);
    if (found !== undefined) return found;
    throw new ServiceError(
      'UNAVAILABLE',
      'key_unavailable',
      `the key of the ${kind} CA cannot be used now`,
      { retryAfterMs: RETRY_MS },
    );
  }

  all(): readonly Generation[] {
    return this.#all;
  }

  keyOf(generation: Generation): Promise<SigningKey> {
    return this.#options.keys.open(generation.keyRef);
  }

  chainOf(issuer: Generation): readonly Uint8Array[] {
    const root = this.#all.find(
      ({ id }) => issuer.parent !== undefined && equal(id, issuer.parent),
    );
    if (root?.crossCertificate === undefined) return [issuer.certificate.der];
    const knowOlder = this.#all.some(
      ({ kind, number, state }) => kind === 'root' && number < root.number && trusted.has(state),
    );
    return knowOlder ? [issuer.certificate.der, root.crossCertificate] : [issuer.certificate.der];
  }

  /** One at a time; asked for meanwhile, it is done once more, as the store may have changed. */
  refresh(): Promise<void> {
    this.#asked += 1;
    this.#refreshing ??= this.#refreshUntilCurrent().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #refreshUntilCurrent(): Promise<void> {
    let asked;
    do {
      asked = this.#asked;
      await this.#read();
    } while (asked !== this.#asked);
    for (const listener of this.#listeners) listener();
  }

  async #read(): Promise<void> {
    const all = await readGenerations(this.#options.queries);
    const signing = new Map<CaKind, SigningGeneration>();
    for (const generation of all) {
      if (generation.state !== 'signing') continue;
      const key = await this.#open(generation);
      if (key !== undefined) signing.set(generation.kind, { ...generation, key });
    }
    this.#all = all;
    this.#signing = signing;
  }

  async #open(generation: Generation): Promise<SigningKey | undefined> {
    const { kind, number, keyRef } = generation;
    try {
      return await this.#options.keys.open(keyRef);
    } catch (error) {
      this.#options.log.error({ err: error, kind, number, keyRef }, 'key of a CA cannot be opened');
      return undefined;
    }
  }
}

/** States in which hosts may know only an older root. */
const trusted: ReadonlySet<CaState> = new Set(['published', 'signing', 'draining', 'tainted']);
const RETRY_MS = 5000;
