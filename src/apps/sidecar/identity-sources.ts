import type { Logger } from 'pino';
import { crashPoint } from '../../ca/crash-points.ts';
import { randomBytes } from '../../crypto/random.ts';
import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import {
  BootstrapIdentity,
  DirectoryInUseError,
  EnrolledIdentity,
  type EnrolmentLatch,
} from '../../identity/index.ts';
import {
  type BootstrapIdentityConfig,
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

/** The identities of a process that are not read from files, by name. */
export class IdentitySources {
  readonly all: ReadonlyMap<string, EnrolledIdentity>;
  readonly bootstraps: ReadonlyMap<string, BootstrapIdentity>;

  private constructor(
    all: ReadonlyMap<string, EnrolledIdentity>,
    bootstraps: ReadonlyMap<string, BootstrapIdentity>,
  ) {
    this.all = all;
    this.bootstraps = bootstraps;
  }

  /**
   * Reads what each has on disk, and makes what a bootstrap identity lacks. Nothing is asked of any
   * authority before {@link start}. Rejects with `ConfigurationError` if another process uses the state.
   */
  static async open(options: IdentitySourcesOptions): Promise<IdentitySources> {
    const { identities } = options.config;
    const opened = new Map<string, EnrolledIdentity>();
    const bootstraps = new Map<string, BootstrapIdentity>();
    const dial = createAuthorityDialler({ now: options.now });
    try {
      // First, as what an enrolled identity finds on disk may end it, or begin it anew.
      for (const identity of identities) {
        if (identity.kind !== 'self-signed') continue;
        bootstraps.set(identity.name, await openBootstrap(identity, options));
      }
      for (const identity of identities) {
        if (identity.kind !== 'enrolled') continue;
        const latch = latchOf(identity.name, identities, bootstraps);
        opened.set(identity.name, await openEnrolled(identity, { ...options, dial, latch }));
      }
      for (const bootstrap of bootstraps.values()) await bootstrap.start();
    } catch (error) {
      for (const identity of [...opened.values(), ...bootstraps.values()]) await identity.close();
      if (!(error instanceof DirectoryInUseError)) throw error;
      throw new ConfigurationError([error.message]);
    }
    return new IdentitySources(opened, bootstraps);
  }

  /** Begins to enrol, renew and follow. */
  start(): void {
    for (const identity of this.all.values()) identity.start();
  }

  async close(): Promise<void> {
    await Promise.all([...this.all.values()].map((identity) => identity.close()));
    await Promise.all([...this.bootstraps.values()].map((identity) => identity.close()));
  }
}

/** All that the enrolment of one identity ends. */
function latchOf(
  name: string,
  identities: SidecarConfig['identities'],
  bootstraps: ReadonlyMap<string, BootstrapIdentity>,
): EnrolmentLatch {
  const ended = identities.flatMap((one) =>
    one.kind === 'self-signed' && one.until === name ? (bootstraps.get(one.name) ?? []) : [],
  );
  return {
    shut: async () => {
      await Promise.all(ended.map((bootstrap) => bootstrap.shut()));
    },
    reopen: async () => {
      await Promise.all(ended.map((bootstrap) => bootstrap.reopen()));
    },
  };
}

async function openBootstrap(
  { name, directory }: BootstrapIdentityConfig,
  { now, log }: IdentitySourcesOptions,
): Promise<BootstrapIdentity> {
  return await BootstrapIdentity.open({ name, directory, now, log, reached: crashPoint });
}

interface EnrolledSurroundings extends IdentitySourcesOptions {
  readonly dial: ReturnType<typeof createAuthorityDialler>;
  readonly latch: EnrolmentLatch;
}

async function openEnrolled(
  { name, directory, keyType, decryptionKeyType }: EnrolledIdentityConfig,
  options: EnrolledSurroundings,
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
    latch: options.latch,
    reached: crashPoint,
  });
}
