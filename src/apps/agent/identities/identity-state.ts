import { setTimeout as delay } from 'node:timers/promises';
import {
  type IdentityList,
  type IdentityStatus,
  OffloadError,
  type Workload,
} from '../../../offload/index.ts';
import type { Surroundings } from '../surroundings.ts';

/** The part of the library an agent asks about its identities. */
export type IdentityUpkeep = Pick<
  Workload,
  'listIdentities' | 'watchIdentities' | 'enroll' | 'renew' | 'forget'
>;

/** What the sidecar says of the identity that enrols. */
export interface EnrolledFacts {
  readonly spiffeId: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly ready: boolean;
  readonly problem: string | undefined;
  /** DER, leaf first; empty: it has no second key. */
  readonly decryptionCertificates: readonly Uint8Array[];
}

/** What the sidecar says of the identity used before. */
export interface BootstrapFacts {
  /** SHA-256 of the SubjectPublicKeyInfo, hexadecimal. Absent: it has no key. */
  readonly keyHash: string | undefined;
  readonly ready: boolean;
}

export interface IdentityFacts {
  /** Absent: it has not enrolled, or the sidecar has forgotten it. */
  readonly enrolled: EnrolledFacts | undefined;
  /** Absent: there is none, or it has ended. */
  readonly bootstrap: BootstrapFacts | undefined;
}

/** Names in the sidecar's configuration. */
export interface IdentityNames {
  readonly identity: string;
  readonly bootstrap: string | undefined;
}

/** Follows what the sidecar says of our identities. */
export class IdentityState {
  readonly #upkeep: IdentityUpkeep;
  readonly #names: IdentityNames;
  readonly #surroundings: Surroundings;
  readonly #stop = new AbortController();
  readonly #changed: (facts: IdentityFacts) => void;
  #facts: IdentityFacts | undefined;
  #problem: string | undefined = 'the sidecar has not answered yet';
  #following: Promise<void> | undefined;

  constructor(
    upkeep: IdentityUpkeep,
    names: IdentityNames,
    surroundings: Surroundings,
    changed: (facts: IdentityFacts) => void,
  ) {
    this.#upkeep = upkeep;
    this.#names = names;
    this.#surroundings = surroundings;
    this.#changed = changed;
  }

  /** As last heard; absent: nothing was, yet. */
  get facts(): IdentityFacts | undefined {
    return this.#facts;
  }

  /** Why the sidecar is not heard, or what it lacks. */
  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    this.#following = this.#follow();
  }

  /** Asks now. Rejects with `OffloadError`. */
  async refresh(): Promise<IdentityFacts> {
    return this.#heard(await this.#upkeep.listIdentities());
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stop;
    const stopped = (): boolean => signal.aborted;
    while (!stopped()) {
      try {
        for await (const list of this.#upkeep.watchIdentities({ signal })) this.#heard(list);
      } catch (error) {
        if (stopped()) return;
        const message = error instanceof OffloadError ? error.message : String(error);
        if (this.#problem !== message) {
          this.#surroundings.log.warn({ err: error }, 'sidecar does not tell of our identities');
        }
        this.#problem = message;
      }
      await delay(pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  #heard({ identities }: IdentityList): IdentityFacts {
    const { identity, bootstrap } = this.#names;
    const one = identities.find(({ name }) => name === identity);
    const first = identities.find(({ name }) => name === bootstrap);
    const facts = { enrolled: enrolledFacts(one), bootstrap: bootstrapFacts(first) };
    const problems = [
      ...(one === undefined ? [`the sidecar has no identity "${identity}" for us`] : []),
      ...(bootstrap !== undefined && first === undefined && facts.enrolled === undefined
        ? [`the sidecar has no identity "${bootstrap}" for us`]
        : []),
    ];
    this.#problem = problems[0];
    this.#facts = facts;
    this.#changed(facts);
    return facts;
  }
}

function enrolledFacts(status: IdentityStatus | undefined): EnrolledFacts | undefined {
  if (status?.spiffeId === undefined || status.notAfter === undefined) return undefined;
  const { spiffeId, notBefore, notAfter, ready, problem, decryptionCertificates } = status;
  return {
    spiffeId,
    notBefore: notBefore ?? new Date(0),
    notAfter,
    ready,
    problem,
    decryptionCertificates,
  };
}

function bootstrapFacts(status: IdentityStatus | undefined): BootstrapFacts | undefined {
  if (status === undefined || status.bootstrap?.closed === true) return undefined;
  return { keyHash: status.publicKeyHash?.replace(/^sha256:/u, ''), ready: status.ready };
}

/** After the sidecar refused to tell: a person has to change its configuration. */
const pauseMs = 10_000;
