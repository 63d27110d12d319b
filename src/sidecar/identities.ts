import type { ServiceError } from '../rpc/errors.ts';
import { BootstrapEntry } from './bootstrap-entry.ts';
import type { BootstrapIdentityConfig, FileIdentityConfig, SidecarConfig } from './config.ts';
import { ConfigurationError } from './configuration-error.ts';
import type { BootstrapSource, CredentialSource } from './credential-source.ts';
import { EnrolledEntry } from './enrolled-entry.ts';
import { IdentityError, type LocalIdentity, readIdentity } from './local-identity.ts';
import { type PeerTrust, trustsNobody } from './peer-trust.ts';
import { TrustStore } from './trust.ts';

/** What came of looking at the files of one identity again. */
export type ReloadResult =
  | { readonly name: string; readonly outcome: 'unchanged' }
  | { readonly name: string; readonly outcome: 'reloaded'; readonly identity: LocalIdentity }
  | { readonly name: string; readonly outcome: 'failed'; readonly problem: string };

/** Where the identities of a sidecar come from. */
export interface IdentityOrigins {
  readonly config: Pick<SidecarConfig, 'identities' | 'staleTrust'>;
  /** Of identities from files. */
  readonly fileTrust: PeerTrust | undefined;
  /** Of enrolled ones, by name. */
  readonly sources: ReadonlyMap<string, CredentialSource>;
  /** Of those with a certificate of their own making, by name; absent: none. */
  readonly bootstraps?: ReadonlyMap<string, BootstrapSource>;
  readonly now: () => Date;
}

/**
 * The identities of this sidecar. Each is replaced as a whole or not at all: a pair of files that
 * cannot be used leaves the old key and certificate in place, and its problem on record.
 */
export class IdentityStore {
  readonly #entries = new Map<string, FileEntry | EnrolledEntry | BootstrapEntry>();
  readonly #trustFiles: TrustStore[] = [];
  readonly #now: () => Date;
  readonly #fileTrust: PeerTrust | undefined;

  /** Throws {@link ConfigurationError} with the problems of all identities. */
  constructor({ config, fileTrust, sources, bootstraps, now }: IdentityOrigins) {
    this.#fileTrust = fileTrust;
    this.#now = now;
    const problems: string[] = [];
    for (const identity of config.identities) {
      const { name } = identity;
      if (identity.kind === 'enrolled') {
        const source = sources.get(name);
        if (source === undefined) continue;
        this.#entries.set(name, new EnrolledEntry(identity, source, config.staleTrust, now));
        continue;
      }
      try {
        if (identity.kind === 'files') {
          this.#entries.set(name, new FileEntry(identity, fileTrust ?? trustsNobody));
          continue;
        }
        const trust = this.#bootstrapTrust(identity);
        const source = bootstraps?.get(name);
        if (source === undefined) continue;
        const successor = sources.get(identity.until);
        this.#entries.set(name, new BootstrapEntry(identity, source, trust, successor));
      } catch (error) {
        if (!(error instanceof IdentityError || error instanceof ConfigurationError)) throw error;
        problems.push(`identity ${name}: ${error.message}`);
      }
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  /** Those with a key and a certificate, in the order of the configuration. */
  all(): readonly LocalIdentity[] {
    return [...this.#entries.values()].flatMap(({ identity }) => identity ?? []);
  }

  get(name: string): LocalIdentity | undefined {
    return this.#entries.get(name)?.identity;
  }

  /** Names of all, ready or not. */
  names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** Those that are enrolled, or wait for it. */
  enrolled(): readonly EnrolledEntry[] {
    return [...this.#entries.values()].filter((entry) => entry instanceof EnrolledEntry);
  }

  enrolledEntry(name: string): EnrolledEntry | undefined {
    const entry = this.#entries.get(name);
    return entry instanceof EnrolledEntry ? entry : undefined;
  }

  bootstraps(): readonly BootstrapEntry[] {
    return [...this.#entries.values()].filter((entry) => entry instanceof BootstrapEntry);
  }

  bootstrapEntry(name: string): BootstrapEntry | undefined {
    const entry = this.#entries.get(name);
    return entry instanceof BootstrapEntry ? entry : undefined;
  }

  /** The trust files of single identities. */
  trustFiles(): readonly TrustStore[] {
    return this.#trustFiles;
  }

  /** What went wrong when an identity was last looked at. */
  problemOf(name: string): string | undefined {
    return this.#entries.get(name)?.problem;
  }

  /** Why an identity cannot be used, apart from the dates of its certificate. */
  refusalOf(name: string): ServiceError | undefined {
    const entry = this.#entries.get(name);
    return entry instanceof FileEntry ? undefined : entry?.refusal;
  }

  /** Whom a client believes that acts as nobody: what the files say, else the first that knows. */
  trustOfAnonymous(names: readonly string[]): PeerTrust | undefined {
    const identities = names.flatMap((name) => this.get(name) ?? []);
    // Whom a bootstrap identity believes is meant for it alone.
    const ordinary = identities.find(({ bootstrap }) => bootstrap === undefined);
    return this.#fileTrust ?? ordinary?.trust;
  }

  /** Looks at the files of every identity again. */
  reload(): readonly ReloadResult[] {
    return [...this.#entries.values()].flatMap((entry) =>
      entry instanceof FileEntry ? entry.reload() : [],
    );
  }

  #bootstrapTrust({ trust: path }: BootstrapIdentityConfig): PeerTrust {
    if (path === undefined) return trustsNobody;
    const trust = new TrustStore(path, this.#now);
    this.#trustFiles.push(trust);
    return trust;
  }
}

/** One identity in files. */
class FileEntry {
  readonly #config: FileIdentityConfig;
  readonly #trust: PeerTrust;
  #identity: LocalIdentity;
  #problem: string | undefined;

  /** Throws {@link IdentityError}. */
  constructor(config: FileIdentityConfig, trust: PeerTrust) {
    this.#config = config;
    this.#trust = trust;
    this.#identity = readIdentity(config, trust);
  }

  get identity(): LocalIdentity {
    return this.#identity;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  reload(): ReloadResult {
    const { name } = this.#config;
    try {
      const identity = readIdentity(this.#config, this.#trust, this.#identity.version);
      this.#problem = undefined;
      if (identity === 'unchanged') return { name, outcome: 'unchanged' };
      this.#identity = identity;
      return { name, outcome: 'reloaded', identity };
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      this.#problem = error.message;
      return { name, outcome: 'failed', problem: error.message };
    }
  }
}
