import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import type { ListenerReport } from '../../gen/sidekey/v1/certificate_authority.ts';
import { type Sidecar, type SidecarConfig, startSidecar } from '../../sidecar/index.ts';
import type { RunningAuthority } from '../authority/run-authority.ts';
import { IdentitySources } from './identity-sources.ts';
import { listenerReport } from './listener-reports.ts';
import { packageVersion } from './version.ts';

export interface CompositionOptions {
  readonly log: Logger;
  /** Absent: the system's clock. */
  readonly now?: () => Date;
}

/** Everything one process runs. */
export interface Composition {
  readonly sidecar: Sidecar;
  /** Absent: the configuration has no such section. */
  readonly authority: RunningAuthority | undefined;
  readonly identities: IdentitySources;
  /** Takes no new work, finishes what there is within the time, then ends. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends everything now. */
  close(): Promise<void>;
}

/**
 * Starts what a configuration names: an authority first, as identities of this host may be enrolled
 * with it, then the identities, then the sidecar, whose readiness covers all. Rejects with
 * `ConfigurationError` or `ListenError`, and leaves nothing running.
 */
export async function startComposition(
  config: SidecarConfig,
  { log, now = () => new Date() }: CompositionOptions,
): Promise<Composition> {
  const registry = new Registry();
  const version = packageVersion();
  const parts: Parts = { authority: undefined, identities: undefined, sidecar: undefined };
  const options = { config, log, now, version };
  try {
    if (config.authority !== undefined) {
      // Loaded here, as it brings a store and much else that other sidecars have no use for.
      const { startAuthority } = await import('../authority/run-authority.ts');
      parts.authority = await startAuthority(config.authority, { log, now, registry, version });
    }
    parts.identities = await IdentitySources.open({
      ...options,
      listeners: () => listenersOf(config, parts),
    });
    parts.sidecar = await startSidecar(config, {
      log,
      now,
      registry,
      sources: parts.identities.all,
      bootstraps: parts.identities.bootstraps,
      problems: () => parts.authority?.problems().map((text) => `authority: ${text}`) ?? [],
    });
    parts.identities.start();
  } catch (error) {
    await closeAll(parts);
    throw error;
  }
  const { authority, identities, sidecar } = parts;
  return {
    authority,
    identities,
    sidecar,
    drain: async (timeoutMs) => {
      // Applications first; what they began may still need an identity.
      await sidecar.drain(timeoutMs);
      await identities.close();
      await authority?.drain(timeoutMs);
    },
    close: async () => {
      await closeAll(parts);
    },
  };
}

interface Parts {
  authority: RunningAuthority | undefined;
  identities: IdentitySources | undefined;
  sidecar: Sidecar | undefined;
}

async function closeAll({ sidecar, identities, authority }: Parts): Promise<void> {
  await sidecar?.close();
  await identities?.close();
  await authority?.close();
}

/** The floors of whichever authority spoke last: a host with several is rare, and told by its name. */
function listenersOf(
  { tls }: SidecarConfig,
  { sidecar, identities, authority }: Parts,
): readonly ListenerReport[] {
  const floors = [...(identities?.all.values() ?? [])].flatMap((one) => one.tlsPolicy ?? [])[0];
  const { cipherSuites } = tls;
  const own = (sidecar?.addresses ?? []).map((address, index) =>
    listenerReport(
      {
        name: index === 0 ? 'sidecar' : `sidecar-${String(index + 1)}`,
        address,
        cipherSuites,
        attempts: index === 0 ? (sidecar?.versionAttempts ?? []) : [],
      },
      floors,
    ),
  );
  return [...own, ...(authority?.listeners() ?? [])];
}
