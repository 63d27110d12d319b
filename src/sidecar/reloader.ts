import type { Logger } from 'pino';
import type { SidecarConfig } from './config.ts';
import { FileWatcher } from './file-watcher.ts';
import type { IdentityStore } from './identities.ts';
import type { SidecarMetrics } from './metrics.ts';
import type { TrustStore } from './trust.ts';

export interface ReloaderOptions {
  readonly config: SidecarConfig;
  readonly identities: IdentityStore;
  /** Absent: no identity is read from files. */
  readonly trust: TrustStore | undefined;
  readonly metrics: SidecarMetrics;
  readonly log: Logger;
  /** A trust bundle was replaced. */
  readonly onTrustChanged: () => void;
  /** All files were looked at. */
  readonly onReloaded: () => void;
}

/** Takes up new keys, certificates and trust bundles as their files change, and says so. */
export class Reloader {
  readonly #options: ReloaderOptions;
  readonly #watcher: FileWatcher;
  readonly #reported = new Map<string, string>();

  constructor(options: ReloaderOptions) {
    this.#options = options;
    const { identities, trustBundle } = options.config;
    const paths = identities.flatMap((identity) => {
      if (identity.kind === 'files') return [identity.certificate, identity.privateKey];
      return identity.kind === 'self-signed' ? (identity.trust ?? []) : [];
    });
    this.#watcher = new FileWatcher(
      trustBundle === undefined ? paths : [...paths, trustBundle],
      () => {
        this.reload();
      },
      { settleMs, recheckMs },
    );
  }

  close(): void {
    this.#watcher.close();
  }

  /** Looks at all files now. */
  reload(): void {
    const { trust, identities, onReloaded } = this.#options;
    this.#reloadIdentities();
    for (const one of [...(trust === undefined ? [] : [trust]), ...identities.trustFiles()]) {
      this.#reloadTrust(one);
    }
    onReloaded();
  }

  #reloadIdentities(): void {
    const { identities, metrics, log } = this.#options;
    for (const result of identities.reload()) {
      const { name } = result;
      switch (result.outcome) {
        case 'unchanged':
          this.#reported.delete(`identity ${name}`);
          break;
        case 'reloaded': {
          this.#reported.delete(`identity ${name}`);
          metrics.reloaded('identity', name, 'reloaded');
          const { leaf, warnings } = result.identity;
          log.info({ identity: name, notAfter: leaf.notAfter }, 'identity reloaded');
          for (const detail of warnings)
            log.warn({ identity: name, detail }, 'identity is exposed');
          break;
        }
        case 'failed':
          if (!this.#isNews(`identity ${name}`, result.problem)) break;
          metrics.reloaded('identity', name, 'failed');
          log.error(
            { identity: name, detail: result.problem },
            'identity not reloaded, the old one stays in use',
          );
      }
    }
  }

  #reloadTrust(trust: TrustStore): void {
    const { metrics, log, onTrustChanged } = this.#options;
    const subject = `trust ${trust.path}`;
    const result = trust.reload();
    switch (result.outcome) {
      case 'unchanged':
        this.#reported.delete(subject);
        break;
      case 'reloaded':
        this.#reported.delete(subject);
        metrics.reloaded('trust', 'bundle', 'reloaded');
        onTrustChanged();
        log.info(
          { file: trust.path, generation: result.generation, certificates: result.certificates },
          'trust bundle reloaded',
        );
        break;
      case 'failed':
        if (!this.#isNews(subject, result.problem)) break;
        metrics.reloaded('trust', 'bundle', 'failed');
        log.error(
          { detail: result.problem },
          'trust bundle not reloaded, the old one stays in use',
        );
    }
  }

  /** The same problem is found on every look, but said once. */
  #isNews(subject: string, problem: string): boolean {
    if (this.#reported.get(subject) === problem) return false;
    this.#reported.set(subject, problem);
    return true;
  }
}

/** Programs write certificate and key one after the other. */
const settleMs = 200;
const recheckMs = 60_000;
