import { isIP } from 'node:net';
import type { AeadAlgorithm } from '../crypto/aead.ts';
import { isHostName, parseSpiffePattern, type SpiffePattern } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { ExporterRequest } from '../tls/config.ts';
import type { ClientAuthMode } from './config.ts';

/** A name a certificate can prove. */
export type ProvableName =
  | { readonly kind: 'spiffe'; readonly id: string }
  | { readonly kind: 'dns'; readonly name: string };

/** Whom a client wants to reach, by what a certificate can prove. */
export type TargetIdentity =
  | { readonly kind: 'spiffe'; readonly pattern: SpiffePattern }
  | { readonly kind: 'dns'; readonly name: string };

/** How a caller names one of our identities. */
export type IdentityReference =
  ProvableName | { readonly kind: 'configured'; readonly name: string };

/** Host a client wants to reach. */
export interface TargetHost {
  readonly kind: 'dns' | 'ip';
  /** Lower-case A-labels without trailing dot, or an address. */
  readonly name: string;
}

interface CommonRequest {
  /** As on the wire, most preferred first. */
  readonly applicationProtocols: readonly string[];
  /** The caller said `grpc` where the wire says `h2`, and wants to hear it so. */
  readonly reportsGrpc: boolean;
  /** Absent: all. */
  readonly aeads: readonly AeadAlgorithm[] | undefined;
  readonly exporters: readonly ExporterRequest[];
  /** SHA-256 of the public keys of which the peer must have one; empty: chain and name decide. */
  readonly pinnedPublicKeys: readonly Uint8Array[];
  /** Refuse a peer with which no application protocol is agreed on. */
  readonly requireApplicationProtocol: boolean;
}

export interface ClientRequest extends CommonRequest {
  readonly role: 'client';
  readonly target: TargetHost | undefined;
  /** The peer must prove one of these; empty: that it is `target`. */
  readonly targetIdentities: readonly TargetIdentity[];
  /** Absent: the default. */
  readonly identity: IdentityReference | undefined;
  readonly anonymous: boolean;
}

export interface ServerRequest extends CommonRequest {
  readonly role: 'server';
  /** Empty: all the caller may use. */
  readonly identities: readonly IdentityReference[];
  /** Absent: what the policy says. */
  readonly clientAuth: ClientAuthMode | undefined;
  /** The peer must prove one of these; empty: any name will do. */
  readonly allowedPeers: readonly SpiffePattern[];
  /** The peer's first bytes. */
  readonly firstBytes: Uint8Array;
}

/** What a caller wants, checked: nothing in it can be malformed. */
export type HandshakeRequest = ClientRequest | ServerRequest;

/** Reads a target name: scheme-less, with or without port, brackets and trailing dot. */
export function parseTarget(text: string): TargetHost | undefined {
  if (text === '') return undefined;
  const host = hostOf(text);
  if (isIP(host) !== 0) return { kind: 'ip', name: host };
  const name = host.replace(/\.$/u, '').toLowerCase();
  if (!isHostName(name)) throw invalid('target_name', `"${shown(text)}" is not a host name`);
  return { kind: 'dns', name };
}

/** Checks hashes of public keys. */
export function checkPins(hashes: readonly Uint8Array[]): readonly Uint8Array[] {
  if (hashes.length > maxPins) throw invalid('pinned_public_keys', `more than ${String(maxPins)}`);
  if (hashes.every(({ length }) => length === 32)) return hashes;
  throw invalid('pinned_public_keys', 'a SHA-256 has 32 bytes');
}

/** Reads SPIFFE IDs, of which some may end in `/*`. */
export function peerPatterns(texts: readonly string[]): readonly SpiffePattern[] {
  if (texts.length > maxPeers) throw invalid('allowed_peers', `more than ${String(maxPeers)}`);
  return texts.map((text) => {
    const pattern = parseSpiffePattern(text);
    if (pattern !== undefined) return pattern;
    throw invalid('allowed_peers', 'is neither a SPIFFE ID nor one that ends in /*');
  });
}

/** Checks ALPN names as a caller gives them and puts them into the form of the wire. */
export function wireProtocols(names: readonly string[]): {
  readonly applicationProtocols: readonly string[];
  readonly reportsGrpc: boolean;
} {
  if (names.length > maxApplicationProtocols) {
    throw invalid('application_protocols', `more than ${String(maxApplicationProtocols)} names`);
  }
  for (const name of names) {
    const length = Buffer.byteLength(name);
    if (length < 1 || length > 255) {
      throw invalid('application_protocols', 'a name has 1 to 255 bytes (RFC 7301 §3.1)');
    }
  }
  const wire = new Set(names.map((name) => (name === 'grpc' ? 'h2' : name)));
  // A caller that lists both understands both: what it gets told is what is on the wire.
  return {
    applicationProtocols: [...wire],
    reportsGrpc: names.includes('grpc') && !names.includes('h2'),
  };
}

/** Checks requests for keying material (RFC 5705 §4). */
export function checkExporters(requests: readonly ExporterRequest[]): readonly ExporterRequest[] {
  if (requests.length > maxExporters) {
    throw invalid('keying_material', `more than ${String(maxExporters)} requests`);
  }
  for (const { label, length } of requests) {
    if (!/^[\x20-\x7e]{0,128}$/u.test(label)) {
      throw invalid('keying_material', 'a label has at most 128 ASCII characters');
    }
    if (reservedLabels.has(label))
      throw invalid('keying_material', `"${label}" is reserved for TLS`);
    if (length < 1 || length > maxKeyingMaterialBytes) {
      throw invalid('keying_material', `length is 1 to ${String(maxKeyingMaterialBytes)} bytes`);
    }
  }
  return requests;
}

/** A request that makes no sense; `field` is the name in the protocol. */
export function invalid(field: string, message: string): ServiceError {
  return new ServiceError('INVALID_ARGUMENT', 'invalid_request', `${field}: ${message}`);
}

function hostOf(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/u.exec(text)?.[1];
  if (bracketed !== undefined) return bracketed;
  if (isIP(text) !== 0) return text;
  return /^([^:]*):\d{1,5}$/u.exec(text)?.[1] ?? text;
}

/** A caller's text in a message: short, and nothing that a terminal would act on. */
function shown(text: string): string {
  return text.slice(0, 64).replace(/[^\x20-\x7e]/gu, '?');
}

/** RFC 5705 §4, RFC 7627 §4. */
const reservedLabels: ReadonlySet<string> = new Set([
  'client finished',
  'server finished',
  'master secret',
  'extended master secret',
  'key expansion',
]);

const maxApplicationProtocols = 16;
const maxExporters = 8;
/** RFC 5705 has no bound; the answer to the caller has. */
const maxKeyingMaterialBytes = 1024;
/** As many as one application waits for at a time; each is compared with, once a handshake. */
const maxPins = 256;
const maxPeers = 256;
