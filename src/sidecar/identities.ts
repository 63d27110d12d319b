import type { IdentityConfig } from './config.ts';
import { ConfigurationError } from './configuration-error.ts';
import { IdentityError, type LocalIdentity, readIdentity } from './local-identity.ts';

/** What came of looking at the files of one identity again. */
export type ReloadResult =
  | { readonly name: string; readonly outcome: 'unchanged' }
  | { readonly name: string; readonly outcome: 'reloaded'; readonly identity: LocalIdentity }
  | { readonly name: string; readonly outcome: 'failed'; readonly problem: string };

/**
 * The identities of this sidecar. Each is replaced as a whole or not at all: a pair of files that
 * cannot be used leaves the old key and certificate in place, and its problem on record.
 */
export class IdentityStore {
  readonly #entries: Map<string, Entry>;

  /** Throws {@link ConfigurationError} with the problems of all identities. */
  constructor(configs: readonly IdentityConfig[]) {
    const problems: string[] = [];
    this.#entries = new Map();
    for (const config of configs) {
      try {
        const identity = readIdentity(config, undefined);
        if (identity !== 'unchanged') {
          this.#entries.set(config.name, { config, identity, problem: undefined });
        }
      } catch (error) {
        if (!(error instanceof IdentityError)) throw error;
        problems.push(`identity ${config.name}: ${error.message}`);
      }
    }
    if (problems.length > 0) throw new ConfigurationError(problems);
  }

  /** In the order of the configuration. */
  all(): readonly LocalIdentity[] {
    return [...this.#entries.values()].map(({ identity }) => identity);
  }

  get(name: string): LocalIdentity | undefined {
    return this.#entries.get(name)?.identity;
  }

  /** What went wrong when the files of an identity were last looked at. */
  problemOf(name: string): string | undefined {
    return this.#entries.get(name)?.problem;
  }

  /** Looks at the files of every identity again. */
  reload(): readonly ReloadResult[] {
    return [...this.#entries.values()].map((entry) => reloadEntry(entry));
  }
}

interface Entry {
  readonly config: IdentityConfig;
  identity: LocalIdentity;
  problem: string | undefined;
}

function reloadEntry(entry: Entry): ReloadResult {
  const { name } = entry.config;
  try {
    const identity = readIdentity(entry.config, entry.identity.version);
    entry.problem = undefined;
    if (identity === 'unchanged') return { name, outcome: 'unchanged' };
    entry.identity = identity;
    return { name, outcome: 'reloaded', identity };
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    entry.problem = error.message;
    return { name, outcome: 'failed', problem: error.message };
  }
}
