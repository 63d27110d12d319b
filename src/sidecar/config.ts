import { dirname, resolve } from 'node:path';
import { parseSpiffePattern, type SpiffePattern } from '../pki/index.ts';
import type { ListenAddress } from '../rpc/address.ts';
import { formatAddress, isLoopback, parseListenAddress } from '../rpc/address.ts';
import type { CipherSuite } from '../tls/cipher-suites.ts';
import { cipherSuites } from '../tls/cipher-suites.ts';
import { NamedGroup } from '../tls/registries.ts';
import { type AuthorityConfig, authorityProblems, buildAuthority } from './authority-config.ts';
import { configSchema, kindOf, type RawConfig } from './config-schema.ts';
import { parseSettings, type ReportSetting } from './settings.ts';

/** Who may call through a listener, and as which identities. */
export interface AllowRule {
  readonly uid?: number;
  readonly gid?: number;
  readonly tokenFile?: string;
  readonly identities: readonly string[];
  /** Enrol, renew and forget these identities. */
  readonly enroll?: boolean;
  /** Renew these identities. */
  readonly renew?: boolean;
  /** Talk to peers by the hash of their public key, whatever the identity trusts. */
  readonly pinnedPeers?: boolean;
}

export interface ListenerConfig {
  readonly address: ListenAddress;
  readonly mode: number;
  readonly owner?: number;
  readonly group?: number;
  /** First match wins; empty: callers with our own uid, as every identity. */
  readonly allow: readonly AllowRule[];
}

/** An identity read from files. */
export interface FileIdentityConfig {
  readonly kind: 'files';
  readonly name: string;
  readonly certificate: string;
  readonly privateKey: string;
  readonly isDefault: boolean;
}

/** An identity that enrols with an authority. */
export interface EnrolledIdentityConfig {
  readonly kind: 'enrolled';
  readonly name: string;
  /** Where its keys and all else it has are kept. */
  readonly directory: string;
  readonly isDefault: boolean;
  readonly keyType: 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519' | 'rsa';
  /** Of the key that opens configuration. */
  readonly decryptionKeyType: 'ecdsa-p256' | 'rsa' | 'none';
}

/** An identity with a certificate of its own making, for the time before another one has enrolled. */
export interface BootstrapIdentityConfig {
  readonly kind: 'self-signed';
  readonly name: string;
  /** Where its key is kept. */
  readonly directory: string;
  readonly isDefault: false;
  /** Name of the enrolled identity whose enrolment ends it for good. */
  readonly until: string;
  /** Whom it believes, PEM; absent: nobody but peers that are pinned. */
  readonly trust: string | undefined;
  /** Which of those it trusts it talks to; empty: all. */
  readonly peers: readonly SpiffePattern[];
}

export type IdentityConfig = FileIdentityConfig | EnrolledIdentityConfig | BootstrapIdentityConfig;

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
  /** Signers judged and keys unwrapped per second, each, for one caller; twice as many at once. */
  readonly messagesPerSecond: number;
  /** Sessions kept for resumption by clients. */
  readonly clientSessions: number;
}

export interface StaleTrust {
  readonly afterMs: number;
  readonly action: 'warn' | 'refuse';
}

export interface SidecarConfig {
  readonly file: string;
  readonly state: string;
  readonly listen: readonly ListenerConfig[];
  readonly identities: readonly IdentityConfig[];
  /** For identities from files; absent: there are none. */
  readonly trustBundle: string | undefined;
  /** What happens when an enrolled identity has not heard of its authority for long. */
  readonly staleTrust: StaleTrust;
  readonly authority: AuthorityConfig | undefined;
  readonly tls: TlsPolicy;
  readonly limits: Limits;
  readonly admin: ListenAddress | undefined;
  readonly reflection: boolean;
  readonly drainTimeoutMs: number;
  readonly logLevel: string;
}

/**
 * Turns the text of a configuration file into settings. `file` names it in messages; paths in it
 * are relative to its directory. Throws `ConfigurationError` with everything that is wrong.
 */
export function parseSidecarConfig(text: string, file: string): SidecarConfig {
  return build(parseSettings(text, file, { schema: configSchema, contradictions }), file);
}

type RawIdentity = RawConfig['identities'][string];

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
      allow: allow.map(({ uid, gid, tokenFile, identities, enroll, renew, pinnedPeers }) => ({
        ...(uid === undefined ? {} : { uid }),
        ...(gid === undefined ? {} : { gid }),
        ...(tokenFile === undefined ? {} : { tokenFile: path(tokenFile) }),
        identities,
        enroll,
        renew,
        pinnedPeers,
      })),
    })),
    identities: Object.entries(raw.identities).map(([name, identity]) =>
      identityConfig(name, identity, raw.state, path),
    ),
    trustBundle: raw.trust.bundle === undefined ? undefined : path(raw.trust.bundle),
    staleTrust: { afterMs: raw.trust.staleAfter, action: raw.trust.whenStale },
    authority:
      raw.authority === undefined
        ? undefined
        : buildAuthority(raw.authority, path(raw.state), path),
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
      messagesPerSecond: raw.limits.messagesPerSecond,
      clientSessions: raw.limits.clientSessions,
    },
    admin: raw.admin === undefined ? undefined : resolved(raw.admin.address, path),
    reflection: raw.reflection,
    drainTimeoutMs: raw.drainTimeout,
    logLevel: raw.log.level,
  };
}

function identityConfig(
  name: string,
  raw: RawIdentity,
  state: string,
  path: (relative: string) => string,
): IdentityConfig {
  const { certificate, privateKey, keyType, decryptionKeyType, until, trust, peers } = raw;
  const common = { name, isDefault: raw.default };
  // Which of the three, and that all it needs is there, was checked.
  if (until !== undefined) {
    return {
      kind: 'self-signed',
      name,
      isDefault: false,
      directory: path(`${state}/identities/${name}`),
      until,
      trust: trust === undefined ? undefined : path(trust),
      peers: (peers ?? []).flatMap((text) => parseSpiffePattern(text) ?? []),
    };
  }
  if (certificate !== undefined && privateKey !== undefined) {
    return {
      kind: 'files',
      ...common,
      certificate: path(certificate),
      privateKey: path(privateKey),
    };
  }
  return {
    kind: 'enrolled',
    ...common,
    directory: path(`${state}/identities/${name}`),
    keyType: keyType ?? 'ecdsa-p256',
    decryptionKeyType: decryptionKeyType ?? 'ecdsa-p256',
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
function contradictions(raw: RawConfig, report: ReportSetting): void {
  const names = Object.keys(raw.identities);
  sectionProblems(raw, report);
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
}

/** A process serves applications, or is an authority, or both. */
function sectionProblems(raw: RawConfig, report: ReportSetting): void {
  const serves = raw.listen.length > 0 || Object.keys(raw.identities).length > 0;
  if (raw.authority === undefined || serves) {
    if (raw.listen.length === 0) report(['listen'], 'must hold at least one listener');
    if (Object.keys(raw.identities).length === 0) {
      report(['identities'], 'must hold at least one identity');
    }
  }
  for (const [name, { until }] of Object.entries(raw.identities)) {
    if (until === undefined || raw.identities[until]?.enrolled === true) continue;
    report(['identities', name, 'until'], `no enrolled identity is called "${until}"`);
  }
  const fromFiles = Object.values(raw.identities).some((one) => kindOf(one) === 'files');
  if (fromFiles && raw.trust.bundle === undefined) {
    report(['trust', 'bundle'], 'identities from files need to know whom to trust');
  }
  if (raw.authority === undefined) return;
  for (const [path, message] of authorityProblems(raw.authority)) {
    report(['authority', ...path], message);
  }
}

function tcpProblems(
  listener: RawConfig['listen'][number],
  at: readonly PropertyKey[],
  report: ReportSetting,
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
