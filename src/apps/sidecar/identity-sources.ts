import type { Logger } from 'pino';
import { randomBytes } from '../../crypto/random.ts';
import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import { DirectoryInUseError, EnrolledIdentity } from '../../identity/index.ts';
import {
  ConfigurationError,
  type EnrolledIdentityConfig,
  type SidecarConfig,
} from '../../sidecar/index.ts';
import { createAuthorityDialler } from '../in-process-tls/dial-authority.ts';

export interface IdentitySourcesOptions {
  readonly config: Pick<SidecarConfig, 'identities'>;
  readonly log: Logger;
  readonly now: () => Date;
  /** Of the program. */
  readonly version: string;
  /** What the listeners of this process do now. */
  readonly listeners: () => readonly ListenerReport[];
}

/** The enrolled identities of a process, by name. */
export class IdentitySources {
  readonly all: ReadonlyMap<string, EnrolledIdentity>;

  private constructor(all: ReadonlyMap<string, EnrolledIdentity>) {
    this.all = all;
  }

  /**
   * Reads what each has on disk. Nothing is asked of any authority before {@link start}. Rejects with
   * `ConfigurationError` if another process uses the state.
   */
  static async open(options: IdentitySourcesOptions): Promise<IdentitySources> {
    const opened = new Map<string, EnrolledIdentity>();
    const dial = createAuthorityDialler({ now: options.now });
    try {
      for (const identity of options.config.identities) {
        if (identity.kind === 'files') continue;
        opened.set(identity.name, await openOne(identity, { ...options, dial }));
      }
    } catch (error) {
      for (const identity of opened.values()) await identity.close();
      if (!(error instanceof DirectoryInUseError)) throw error;
      throw new ConfigurationError([error.message]);
    }
    return new IdentitySources(opened);
  }

  /** Begins to enrol, renew and follow. */
  start(): void {
    for (const identity of this.all.values()) identity.start();
  }

  async close(): Promise<void> {
    await Promise.all([...this.all.values()].map((identity) => identity.close()));
  }
}

async function openOne(
  { name, directory, keyType, decryptionKeyType }: EnrolledIdentityConfig,
  options: IdentitySourcesOptions & { readonly dial: ReturnType<typeof createAuthorityDialler> },
): Promise<EnrolledIdentity> {
  return await EnrolledIdentity.open({
    name,
    directory,
    dial: options.dial,
    now: options.now,
    random: randomBytes,
    log: options.log.child({ identity: name }),
    version: options.version,
    listeners: options.listeners,
    tlsKeyType: keyType,
    decryptionKeyType,
  });
}
