import { hash } from '../crypto/hash.ts';
import { BoundedMap } from './bounded-map.ts';
import { CertificateCache } from './certificate-cache.ts';
import { latin1 } from './trust-anchors.ts';
import { type VerifiedChain, verifyChain, type VerifyChainOptions } from './verify-chain.ts';

export interface ChainVerdictCacheOptions {
  /** Verdicts kept at most. */
  readonly capacity?: number;
  /** How long a verdict is used at most, whatever the certificates say. */
  readonly maxAgeMs?: number;
  readonly now: () => Date;
}

/**
 * `verifyChain` with memory: verifying the certificates of a peer that was seen before costs one hash.
 * Remembers good verdicts only, bounded, under a key made from everything a verdict depends on: the
 * certificates in their order, the anchors, the CRLs, purpose and policy. A changed bundle therefore
 * needs no clearing; the time is checked on every use.
 */
export class ChainVerdictCache {
  readonly #verdicts: BoundedMap<string, Verdict>;
  readonly #certificates: CertificateCache;
  readonly #maxAgeMs: number;
  readonly #now: () => Date;
  #hits = 0;
  #misses = 0;

  constructor(options: ChainVerdictCacheOptions) {
    this.#verdicts = new BoundedMap(options.capacity ?? DEFAULT_CAPACITY);
    this.#certificates = new CertificateCache();
    this.#maxAgeMs = options.maxAgeMs ?? DEFAULT_MAX_AGE_MS;
    this.#now = options.now;
  }

  /** How often it knew, and how often it had to verify. */
  get counters(): { readonly hits: number; readonly misses: number; readonly size: number } {
    return { hits: this.#hits, misses: this.#misses, size: this.#verdicts.size };
  }

  /** As `verifyChain`, at the time of the cache's clock. Throws `CertificateError`. */
  verify(options: Omit<VerifyChainOptions, 'now' | 'cache' | 'budget'>): VerifiedChain {
    const now = this.#now();
    const key = keyOf(options);
    const known = this.#verdicts.get(key);
    if (known !== undefined && this.#isGood(known, now)) {
      this.#hits += 1;
      return known.chain;
    }
    this.#misses += 1;
    this.#verdicts.delete(key);
    const chain = verifyChain({ ...options, now, cache: this.#certificates });
    this.#verdicts.set(key, { chain, verifiedAt: now.getTime() });
    return chain;
  }

  /** Forgets everything. */
  clear(): void {
    this.#verdicts.clear();
    this.#certificates.clear();
  }

  #isGood({ chain, verifiedAt }: Verdict, now: Date): boolean {
    const time = now.getTime();
    // A clock set back is as good a reason to look again as one that went on.
    return (
      time >= verifiedAt && time - verifiedAt < this.#maxAgeMs && time <= chain.notAfter.getTime()
    );
  }
}

interface Verdict {
  readonly chain: VerifiedChain;
  readonly verifiedAt: number;
}

const purposeCodes = { server: 1, client: 2, recipient: 3 } as const;

/** Injective: counts and lengths stand before what they count. */
function keyOf(options: Omit<VerifyChainOptions, 'now' | 'cache' | 'budget'>): string {
  const { certificates, anchors, crls, purpose, allowedSchemes, requireExtendedKeyUsage } = options;
  const policy = new Uint32Array([
    purposeCodes[purpose],
    requireExtendedKeyUsage === true ? 1 : 0,
    allowedSchemes === undefined ? 0xffff : allowedSchemes.length,
    ...(allowedSchemes ?? []),
    crls === undefined ? 0 : 1,
    certificates.length,
    ...certificates.map(({ length }) => length),
  ]);
  const parts = [anchors.digest, ...(crls === undefined ? [] : [crls.digest]), ...certificates];
  return latin1(hash('sha256', new Uint8Array(policy.buffer), ...parts));
}

/** A verdict holds a few parsed certificates: some 10 KB. */
const DEFAULT_CAPACITY = 4096;
const DEFAULT_MAX_AGE_MS = 5 * 60_000;
