import type { ListenAddress } from '../rpc/address.ts';
import { formatAddress, parseListenAddress } from '../rpc/address.ts';
import type { RawAuthority } from './authority-schema.ts';

/** Settings of a certificate authority that runs in this process. */
export interface AuthorityConfig {
  readonly trustDomain: string;
  /** Directory for everything it keeps in files. */
  readonly state: string;
  readonly store: StoreLocation;
  readonly keys: KeyLocation;
  /** Where hosts enrol, renew and follow; TCP. */
  readonly listen: ListenAddress;
  /** The same as hosts reach it, host:port; empty: as it listens. */
  readonly advertise: readonly string[];
  readonly administration: { readonly address: ListenAddress; readonly mode: number };
  /** For CRLs and OCSP; absent: neither is served. */
  readonly http:
    { readonly address: ListenAddress; readonly publicUrl: string | undefined } | undefined;
  /** `closed`: nobody without a certificate or a bundle's credential finishes a handshake. */
  readonly enrolment: 'closed' | 'open';
  /** How long after its end a certificate is let in at all, to be renewed. */
  readonly expiredGraceMs: number;
  readonly limits: AuthorityLimits;
  readonly rotation: {
    readonly automatic: boolean;
    /** Absent: every agent counts. */
    readonly countAgentsSeenWithinMs: number | undefined;
  };
}

export type StoreLocation =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'urlFile'; readonly path: string };

/** Where private keys are; with a token, keys that it cannot make are on disk. */
export type KeyLocation = DiskLocation &
  (
    | { readonly kind: 'disk' }
    | {
        readonly kind: 'pkcs11';
        readonly module: string;
        readonly tokenLabel: string;
        readonly pinFile: string;
      }
  );

interface DiskLocation {
  readonly directory: string;
  /** Absent: keys on disk are not encrypted. */
  readonly passphraseFile: string | undefined;
}

export interface AuthorityLimits {
  /** Open at once. */
  readonly connections: number;
  readonly connectionsPerSource: number;
  /** TLS handshakes in progress. */
  readonly handshakes: number;
  readonly handshakesPerSecondPerSource: number;
  readonly handshakeTimeoutMs: number;
  /** Enrolments and renewals waiting for the store. */
  readonly requests: number;
}

/** `path` resolves what is relative to the configuration file. */
export function buildAuthority(
  raw: RawAuthority,
  state: string,
  path: (relative: string) => string,
): AuthorityConfig {
  const resolved = (text: string): ListenAddress => {
    const address = parseListenAddress(text);
    return address.kind === 'unix' ? { kind: 'unix', path: path(address.path) } : address;
  };
  const { limits, rotation, administration, http, keys } = raw;
  const directory = `${state}/authority`;
  return {
    trustDomain: raw.trustDomain,
    state: directory,
    store: storeLocation(raw.store ?? `sqlite:${directory}/store.db`, path),
    keys: keyLocation(keys, `${directory}/keys`, path),
    listen: resolved(raw.listen),
    advertise: raw.advertise,
    administration: {
      address: resolved(administration.address),
      mode: Number.parseInt(administration.mode, 8),
    },
    http:
      http === undefined
        ? undefined
        : { address: resolved(http.address), publicUrl: http.publicUrl?.replace(/\/$/u, '') },
    enrolment: raw.enrolment,
    expiredGraceMs: raw.expiredGrace,
    limits: {
      connections: limits.connections,
      connectionsPerSource: limits.connectionsPerSource,
      handshakes: limits.handshakes,
      handshakesPerSecondPerSource: limits.handshakesPerSecondPerSource,
      handshakeTimeoutMs: limits.handshakeTimeout,
      requests: limits.requests,
    },
    rotation: {
      automatic: rotation.automatic,
      countAgentsSeenWithinMs: rotation.countAgentsSeenWithin,
    },
  };
}

/** What each setting by itself cannot show; setting and message. */
export function authorityProblems(
  raw: RawAuthority,
): readonly (readonly [path: readonly PropertyKey[], message: string])[] {
  const problems: [readonly PropertyKey[], string][] = [];
  const listen = parseListenAddress(raw.listen);
  if (listen.kind === 'unix') {
    problems.push([['listen'], 'hosts come over TCP: expected ADDRESS:PORT']);
  } else if (raw.advertise.length === 0 && ['0.0.0.0', '::'].includes(listen.host)) {
    problems.push([['advertise'], `hosts cannot reach ${formatAddress(listen)}: name an address`]);
  }
  if (parseListenAddress(raw.administration.address).kind !== 'unix') {
    problems.push([['administration', 'address'], 'is a unix socket; operators come over TCP']);
  }
  if (raw.http !== undefined && parseListenAddress(raw.http.address).kind !== 'tcp') {
    problems.push([['http', 'address'], 'expected ADDRESS:PORT']);
  }
  if (typeof raw.store === 'string' && /^postgres(?:ql)?:\/\/[^/@]*:[^/@]+@/su.test(raw.store)) {
    problems.push([['store'], 'holds a password: put the URL into a file and name it by urlFile']);
  }
  return problems;
}

function keyLocation(
  keys: RawAuthority['keys'],
  directory: string,
  path: (relative: string) => string,
): KeyLocation {
  const { passphraseFile } = keys;
  const disk = {
    directory,
    passphraseFile: passphraseFile === undefined ? undefined : path(passphraseFile),
  };
  if (keys.kind === 'disk') return { kind: 'disk', ...disk };
  const { kind, tokenLabel } = keys;
  return { kind, module: path(keys.module), tokenLabel, pinFile: path(keys.pinFile), ...disk };
}

function storeLocation(
  store: NonNullable<RawAuthority['store']>,
  path: (relative: string) => string,
): StoreLocation {
  if (typeof store !== 'string') return { kind: 'urlFile', path: path(store.urlFile) };
  const file = /^sqlite:(.+)$/su.exec(store)?.[1];
  return { kind: 'url', url: file === undefined ? store : `sqlite:${path(file)}` };
}
