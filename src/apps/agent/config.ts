import { dirname, resolve } from 'node:path';
import { parseListenAddress } from '../../rpc/address.ts';
import { parseSettings, readSettings, type ReportSetting } from '../../sidecar/index.ts';
import type { ConnectionMode } from '../fleet/agent-api/connection.ts';
import { agentConfigSchema, type RawAgentConfig } from './config-schema.ts';

/** One thing a manager may have done on this host. */
export interface OperationConfig {
  readonly name: string;
  /** Program and arguments; `{name}` stands for the argument of that name. */
  readonly command: readonly string[];
  /** What the whole of an argument must match. */
  readonly arguments: ReadonlyMap<string, RegExp>;
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

export interface AgentConfig {
  readonly file: string;
  readonly state: string;
  readonly sidecar: string;
  readonly tokenFile: string | undefined;
  /** Name, in the sidecar's configuration, of the identity that enrols. */
  readonly identity: string;
  /** Name of the self-signed identity used before. Absent: there is no such time. */
  readonly bootstrap: string | undefined;
  /** Bundle to enrol with; absent: somebody else sees to it. */
  readonly bundle: string | undefined;
  /** How to connect until a manager says otherwise. */
  readonly mode: ConnectionMode;
  readonly listen: HostAndPort | undefined;
  readonly managers: readonly string[];
  /** SPIFFE IDs of managers to obey, one may end in `/*`. Absent: every manager of our own trust domain, once we have one. */
  readonly manager: readonly string[] | undefined;
  readonly reconnect: BackOffTimes;
  readonly operations: ReadonlyMap<string, OperationConfig>;
  readonly files: {
    readonly allow: readonly string[];
    readonly maxFileBytes: number;
    readonly bytesPerSecond: number;
  };
  readonly events: { readonly maxBytes: number };
  readonly apply: { readonly command: readonly string[]; readonly timeoutMs: number } | undefined;
  readonly status: { readonly disks: readonly string[]; readonly portsEveryMs: number };
  readonly logLevel: string;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** Pauses between attempts to dial: at random between the least and a bound that doubles from the first to the most. */
export interface BackOffTimes {
  readonly leastMs: number;
  readonly firstMs: number;
  readonly mostMs: number;
}

/** Reads a configuration file. Throws `ConfigurationError` with everything that is wrong with it. */
export function readAgentConfig(file: string): AgentConfig {
  return readSettings(file, parseAgentConfig);
}

/** The same of a text; paths in it are relative to `file`. */
export function parseAgentConfig(text: string, file: string): AgentConfig {
  return build(parseSettings(text, file, { schema: agentConfigSchema, contradictions }), file);
}

/** What each setting by itself cannot show. */
function contradictions(raw: RawAgentConfig, report: ReportSetting): void {
  if (raw.mode !== 'agent-initiated' && raw.listen === undefined) {
    report(['listen'], `needed when mode is ${raw.mode}`);
  }
  if (raw.mode !== 'manager-initiated' && raw.managers.length === 0) {
    report(['managers'], `needed when mode is ${raw.mode}`);
  }
  if (raw.bootstrap === raw.identity) {
    report(['bootstrap'], 'must be another identity than the one that enrols');
  }
  if (raw.listen !== undefined) {
    try {
      parseListenAddress(raw.listen);
    } catch (error) {
      report(['listen'], error instanceof Error ? error.message : String(error));
    }
  }
  const { least, first, most } = raw.reconnect;
  if (least > first || first > most) {
    report(['reconnect'], 'least, first and most must not decrease');
  }
  if (raw.apply !== undefined && raw.apply.command[0]?.startsWith('/') !== true) {
    report(['apply', 'command', 0], 'the program must be an absolute path');
  }
}

function build(raw: RawAgentConfig, file: string): AgentConfig {
  const path = (relative: string): string => resolve(dirname(file), relative);
  return {
    file,
    state: path(raw.state),
    sidecar: raw.sidecar.replace(
      /^unix:(?!\/)(.+)$/u,
      (_all, relative: string) => `unix:${path(relative)}`,
    ),
    tokenFile: raw.tokenFile === undefined ? undefined : path(raw.tokenFile),
    identity: raw.identity,
    bootstrap: raw.bootstrap,
    bundle: raw.bundle === undefined ? undefined : path(raw.bundle),
    mode: raw.mode,
    listen: raw.listen === undefined ? undefined : hostAndPort(raw.listen),
    managers: raw.managers,
    manager: raw.manager,
    reconnect: {
      leastMs: raw.reconnect.least,
      firstMs: raw.reconnect.first,
      mostMs: raw.reconnect.most,
    },
    operations: new Map(
      Object.entries(raw.operations).map(([name, one]) => [
        name,
        {
          name,
          command: one.command,
          arguments: new Map(
            Object.entries(one.arguments).map(([argument, { pattern }]) => [
              argument,
              new RegExp(`^(?:${pattern})$`, 'u'),
            ]),
          ),
          timeoutMs: one.timeout,
          maxOutputBytes: one.maxOutput,
        },
      ]),
    ),
    files: {
      allow: raw.files.allow,
      maxFileBytes: raw.files.maxFileBytes,
      bytesPerSecond: raw.files.bytesPerSecond,
    },
    events: raw.events,
    apply:
      raw.apply === undefined
        ? undefined
        : { command: raw.apply.command, timeoutMs: raw.apply.timeout },
    status: { disks: raw.status.disks, portsEveryMs: raw.status.portsEvery },
    logLevel: raw.log.level,
  };
}

/** Reads HOST:PORT, with an IPv6 address in brackets. */
export function hostAndPort(text: string): HostAndPort {
  const colon = text.lastIndexOf(':');
  return {
    host: text.slice(0, colon).replace(/^\[|\]$/gu, ''),
    port: Number(text.slice(colon + 1)),
  };
}
