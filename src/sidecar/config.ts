import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import type { ListenAddress } from '../rpc/address.ts';
import { formatAddress, isLoopback, parseListenAddress } from '../rpc/address.ts';
import type { CipherSuite } from '../tls/cipher-suites.ts';
import { cipherSuites } from '../tls/cipher-suites.ts';
import { NamedGroup } from '../tls/registries.ts';
import { configSchema, type RawConfig } from './config-schema.ts';
import { ConfigurationError } from './configuration-error.ts';
import { readYaml, type YamlSource } from './yaml-source.ts';

/** Who may call through a listener, and as which identities. */
export interface AllowRule {
  readonly uid?: number;
  readonly gid?: number;
  readonly tokenFile?: string;
  readonly identities: readonly string[];
}

export interface ListenerConfig {
  readonly address: ListenAddress;
  readonly mode: number;
  readonly owner?: number;
  readonly group?: number;
  /** First match wins; empty: callers with our own uid, as every identity. */
  readonly allow: readonly AllowRule[];
}

export interface IdentityConfig {
  readonly name: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly isDefault: boolean;
}

export type ClientAuthMode = 'none' | 'request' | 'require';

/** What handshakes may look like. */
export interface TlsPolicy {
  /** The laxest treatment of client certificates a server application may ask for. */
  readonly clientAuth: ClientAuthMode;
  readonly handshakeTimeoutMs: number;
  readonly firstMessageTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly requireExtendedMasterSecret: boolean;
  readonly requireRenegotiationInfo: boolean;
  readonly requireApplicationProtocol: boolean;
  readonly unknownServerName: 'default' | 'refuse';
  readonly sessionTickets: boolean;
  readonly ticketLifetimeSeconds: number;
  readonly cipherSuites: readonly CipherSuite[];
  readonly namedGroups: readonly NamedGroup[];
}

export interface Limits {
  /** Handshakes at the same time, for each role. */
  readonly handshakes: number;
  /** Handshakes waiting for their turn, for each role. */
  readonly queue: number;
  readonly queueTimeoutMs: number;
  /** Share of the slots one caller may hold while others wait, 0 to 1. */
  readonly callerShare: number;
  /** Open connections of each listener. */
  readonly connections: number;
  readonly streamsPerConnection: number;
  /** RSA signatures at the same time. */
  readonly rsaSignatures: number;
  /** P-384 key exchanges per second: each blocks everything else for some milliseconds. */
  readonly p384PerSecond: number;
  /** Sessions kept for resumption by clients. */
  readonly clientSessions: number;
}

export interface SidecarConfig {
  readonly file: string;
  readonly state: string;
  readonly listen: readonly ListenerConfig[];
  readonly identities: readonly IdentityConfig[];
  readonly trustBundle: string;
  readonly tls: TlsPolicy;
  readonly limits: Limits;
  readonly admin: ListenAddress | undefined;
  readonly reflection: boolean;
  readonly drainTimeoutMs: number;
  readonly logLevel: string;
}

/**
 * Turns the text of a configuration file into settings. `file` names it in messages; paths in it
 * are relative to its directory. Throws {@link ConfigurationError} with everything that is wrong.
 */
export function parseSidecarConfig(text: string, file: string): SidecarConfig {
  const source = readYaml(text, file);
  if (source.problems.length > 0) throw new ConfigurationError(source.problems);
  const parsed = configSchema.safeParse(source.value);
  if (!parsed.success) {
    throw new ConfigurationError(parsed.error.issues.flatMap((issue) => describe(issue, source)));
  }
  const problems = contradictions(parsed.data, source);
  if (problems.length > 0) throw new ConfigurationError(problems);
  return build(parsed.data, file);
}

function build(raw: RawConfig, file: string): SidecarConfig {
  const path = (relative: string): string => resolve(dirname(file), relative);
  return {
    file,
    state: path(raw.state),
    listen: raw.listen.map(({ address, mode, owner, group, allow }) => ({
      address: resolved(address, path),
      mode: Number.parseInt(mode, 8),
      ...(owner === undefined ? {} : { owner }),
      ...(group === undefined ? {} : { group }),
      allow: allow.map(({ uid, gid, tokenFile, identities }) => ({
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
        ...(tokenFile === undefined ? {} : { tokenFile: path(tokenFile) }),
        identities,
      })),
    })),
    identities: Object.entries(raw.identities).map(([name, identity]) => ({
      name,
      certificate: path(identity.certificate),
      privateKey: path(identity.privateKey),
      isDefault: identity.default,
    })),
    trustBundle: path(raw.trust.bundle),
    tls: tlsPolicy(raw.tls),
    limits: {
      handshakes: raw.limits.handshakes,
      queue: raw.limits.queue,
      queueTimeoutMs: raw.limits.queueTimeout,
      callerShare: raw.limits.callerShare,
      connections: raw.limits.connections,
      streamsPerConnection: raw.limits.streamsPerConnection,
      rsaSignatures: raw.limits.rsaSignatures,
      p384PerSecond: raw.limits.p384PerSecond,
      clientSessions: raw.limits.clientSessions,
    },
    admin: raw.admin === undefined ? undefined : resolved(raw.admin.address, path),
    reflection: raw.reflection,
    drainTimeoutMs: raw.drainTimeout,
    logLevel: raw.log.level,
  };
}

function tlsPolicy(raw: RawConfig['tls']): TlsPolicy {
  return {
    clientAuth: raw.clientAuth,
    handshakeTimeoutMs: raw.handshakeTimeout,
    firstMessageTimeoutMs: raw.firstMessageTimeout,
    idleTimeoutMs: raw.idleTimeout,
    requireExtendedMasterSecret: raw.requireExtendedMasterSecret,
    requireRenegotiationInfo: raw.requireRenegotiationInfo,
    requireApplicationProtocol: raw.requireApplicationProtocol,
    unknownServerName: raw.unknownServerName,
    sessionTickets: raw.sessionTickets,
    ticketLifetimeSeconds: Math.floor(raw.ticketLifetime / 1000),
    cipherSuites:
      raw.cipherSuites === undefined
        ? cipherSuites
        : raw.cipherSuites.flatMap((name) => cipherSuites.filter((suite) => suite.name === name)),
    namedGroups: raw.namedGroups.map((name) => NamedGroup[name]),
  };
}

function resolved(text: string, path: (relative: string) => string): ListenAddress {
  const address = parseListenAddress(text);
  return address.kind === 'unix' ? { kind: 'unix', path: path(address.path) } : address;
}

/** What each setting by itself cannot show. */
function contradictions(raw: RawConfig, source: YamlSource): readonly string[] {
  const problems: string[] = [];
  const names = Object.keys(raw.identities);
  const report = (path: readonly PropertyKey[], message: string): void => {
    problems.push(`${source.place(path)}: ${pathText(path)}: ${message}`);
  };
  const defaults = names.filter((name) => raw.identities[name]?.default === true);
  for (const name of defaults.slice(1)) {
    report(['identities', name, 'default'], `"${defaults[0] ?? ''}" is the default already`);
  }
  const addresses = new Set<string>();
  raw.listen.forEach((listener, index) => {
    const at = ['listen', index];
    const address = parseListenAddress(listener.address);
    const text = formatAddress(address);
    if (addresses.has(text) && !(address.kind === 'tcp' && address.port === 0)) {
      report([...at, 'address'], 'is used by another listener');
    }
    addresses.add(text);
    if (address.kind === 'tcp') tcpProblems(listener, at, report);
    listener.allow.forEach(({ uid, gid, tokenFile, identities }, rule) => {
      if (uid === undefined && gid === undefined && tokenFile === undefined) {
        report([...at, 'allow', rule], 'needs a uid, a gid or a tokenFile');
      }
      identities.forEach((name, position) => {
        if (names.includes(name)) return;
        report([...at, 'allow', rule, 'identities', position], `no identity is called "${name}"`);
      });
    });
  });
  if (raw.admin !== undefined && !raw.admin.dangerouslyAllowRemote) {
    if (!isLoopback(parseListenAddress(raw.admin.address))) {
      report(['admin', 'address'], 'is not a loopback address; see dangerouslyAllowRemote');
    }
  }
  return problems;
}

function tcpProblems(
  listener: RawConfig['listen'][number],
  at: readonly PropertyKey[],
  report: (path: readonly PropertyKey[], message: string) => void,
): void {
  if (!listener.dangerouslyAllowRemote && !isLoopback(parseListenAddress(listener.address))) {
    report([...at, 'address'], 'is not a loopback address; see dangerouslyAllowRemote');
  }
  if (listener.allow.length === 0) {
    report(at, 'a TCP listener cannot see who calls: it needs an allow list with tokenFile');
  }
  listener.allow.forEach(({ uid, gid }, rule) => {
    if (uid !== undefined) report([...at, 'allow', rule, 'uid'], 'cannot be seen over TCP');
    if (gid !== undefined) report([...at, 'allow', rule, 'gid'], 'cannot be seen over TCP');
  });
}

function describe(issue: z.core.$ZodIssue, source: YamlSource): readonly string[] {
  const setting = issue.path.length === 0 ? '' : `${pathText(issue.path)}: `;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${source.placeOfKey(issue.path, key)}: ${setting}unknown setting "${key}"`,
    );
  }
  if (issue.code === 'invalid_key') {
    const key = String(issue.path.at(-1));
    return [
      `${source.placeOfKey(issue.path.slice(0, -1), key)}: ${setting}${issue.issues[0]?.message ?? issue.message}`,
    ];
  }
  return [`${source.place(issue.path)}: ${setting}${issue.message}`];
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${String(part)}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./u, '');
}
