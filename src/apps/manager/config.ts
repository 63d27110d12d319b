import { dirname, resolve } from 'node:path';
import { isLoopback, type ListenAddress, parseListenAddress } from '../../rpc/address.ts';
import { parseSettings, readSettings, type ReportSetting } from '../../sidecar/index.ts';
import {
  managerConfigSchema,
  type RawActivationRule,
  type RawManagerConfig,
} from './config-schema.ts';

export interface ManagerConfig {
  readonly file: string;
  readonly state: string;
  readonly sidecar: string;
  readonly tokenFile: string | undefined;
  /** Name, in the sidecar's configuration, of the identity of role `manager`. Absent: the default one. */
  readonly identity: string | undefined;
  readonly store:
    | { readonly kind: 'sqlite'; readonly path: string }
    | { readonly kind: 'postgres'; readonly urlFile: string };
  /** Where agents dial; absent: nowhere. */
  readonly listen: ListenAddress | undefined;
  /** What agents that are to dial are told. */
  readonly advertise: readonly string[];
  readonly admin: {
    readonly address: ListenAddress;
    readonly https: ListenAddress | undefined;
    readonly names: readonly string[];
  };
  /** None: an administrator activates each agent. */
  readonly activation: readonly RawActivationRule[];
  readonly heartbeat: {
    readonly intervalMs: number;
    /** Of the interval. */
    readonly jitter: number;
    readonly missedAfter: number;
    readonly timeoutMs: number;
    /** How many of each agent are kept. */
    readonly kept: number;
  };
  readonly keepAliveMs: number;
  readonly reconnect: { readonly firstMs: number; readonly mostMs: number };
  readonly limits: RawManagerConfig['limits'];
  readonly logLevel: string;
  readonly metrics: ListenAddress | undefined;
}

/** Reads a configuration file. Throws `ConfigurationError` with everything that is wrong with it. */
export function readManagerConfig(file: string): ManagerConfig {
  return readSettings(file, parseManagerConfig);
}

/** The same of a text; paths in it are relative to `file`. */
export function parseManagerConfig(text: string, file: string): ManagerConfig {
  return build(parseSettings(text, file, { schema: managerConfigSchema, contradictions }), file);
}

/** What each setting by itself cannot show. */
function contradictions(raw: RawManagerConfig, report: ReportSetting): void {
  const listening = (path: readonly PropertyKey[], text: string | undefined): void => {
    if (text === undefined) return;
    try {
      parseListenAddress(text);
    } catch (error) {
      report(path, error instanceof Error ? error.message : String(error));
    }
  };
  listening(['listen'], raw.listen);
  listening(['admin', 'https'], raw.admin.https);
  if (!raw.admin.address.startsWith('unix:')) {
    report(['admin', 'address'], 'must be a unix socket; for the network there is admin.https');
  }
  if (raw.advertise !== undefined && raw.listen === undefined) {
    report(['advertise'], 'nobody can dial without "listen"');
  }
  if (raw.metrics !== undefined && !isLoopback(parseListenAddress(raw.metrics.address))) {
    report(['metrics', 'address'], 'must be of this host: a unix socket or a loopback address');
  }
  if (raw.reconnect.first > raw.reconnect.most) report(['reconnect'], 'first is more than most');
}

function build(raw: RawManagerConfig, file: string): ManagerConfig {
  const path = (relative: string): string => resolve(dirname(file), relative);
  const state = path(raw.state);
  const listen = raw.listen === undefined ? undefined : parseListenAddress(raw.listen);
  return {
    file,
    state,
    sidecar: unixPath(raw.sidecar, path),
    tokenFile: raw.tokenFile === undefined ? undefined : path(raw.tokenFile),
    identity: raw.identity,
    store:
      'sqlite' in raw.store
        ? { kind: 'sqlite', path: resolve(state, raw.store.sqlite) }
        : { kind: 'postgres', urlFile: path(raw.store.postgresUrlFile) },
    listen,
    advertise: raw.advertise ?? (raw.listen === undefined ? [] : [raw.listen]),
    admin: {
      address: parseListenAddress(unixPath(raw.admin.address, path)),
      https: raw.admin.https === undefined ? undefined : parseListenAddress(raw.admin.https),
      names: raw.admin.names,
    },
    activation: raw.activation === 'manual' ? [] : raw.activation.automatic,
    heartbeat: {
      intervalMs: raw.heartbeat.interval,
      jitter: raw.heartbeat.jitter,
      missedAfter: raw.heartbeat.missedAfter,
      timeoutMs: raw.heartbeat.timeout,
      kept: raw.heartbeat.kept,
    },
    keepAliveMs: raw.keepAlive,
    reconnect: { firstMs: raw.reconnect.first, mostMs: raw.reconnect.most },
    limits: raw.limits,
    logLevel: raw.log.level,
    metrics:
      raw.metrics === undefined
        ? undefined
        : parseListenAddress(unixPath(raw.metrics.address, path)),
  };
}

function unixPath(address: string, path: (relative: string) => string): string {
  return address.replace(
    /^unix:(?!\/)(.+)$/u,
    (_all, relative: string) => `unix:${path(relative)}`,
  );
}
