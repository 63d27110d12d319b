import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { equal } from '../bytes/bytes.ts';
import { keyKindOf } from '../crypto/keys.ts';
import { rsaModulusBytes, schemesOfRestrictedKey } from '../crypto/signatures.ts';
import {
  type Certificate,
  loadPrivateKey,
  matchesDnsName,
  parseCertificate,
  parseCertificatePem,
  type SpiffePattern,
  spiffeIdOf,
} from '../pki/index.ts';
import { type Credential, SignatureScheme } from '../tls/index.ts';
import type { FileIdentityConfig } from './config.ts';
import type { PeerTrust } from './peer-trust.ts';

/** A long-term key with its certificates, ready for use. The key is never exported. */
export interface LocalIdentity extends KeyWithChain {
  readonly name: string;
  readonly isDefault: boolean;
  /** Whom it believes. */
  readonly trust: PeerTrust;
  /** Digest of the files it was read from, or of whatever else tells whether it changed. */
  readonly version: string;
  /** Absent: it is no bootstrap identity, which stands for a host before it has enrolled. */
  readonly bootstrap?: BootstrapRules;
  /** What is unwise about the files. */
  readonly warnings: readonly string[];
}

/** What holds for handshakes of a bootstrap identity besides its trust. */
export interface BootstrapRules {
  /** Whom it talks to among those it trusts; empty: all. */
  readonly peers: readonly SpiffePattern[];
}

/** A private key and the certificates for it, as handshakes need them. */
export interface KeyWithChain {
  readonly credential: Credential;
  readonly privateKey: KeyObject;
  readonly leaf: Certificate;
  readonly spiffeId: string | undefined;
  /** Such as `ecdsa-p256` or `rsa-2048`. */
  readonly keyType: string;
}

/** The files of an identity are unusable; the message names the file. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
}

/**
 * Reads an identity from its files, unless they are still the ones of `version`. The key is read as
 * bytes, which are wiped. Throws {@link IdentityError}.
 */
export function readIdentity(config: FileIdentityConfig, trust: PeerTrust): LocalIdentity;
export function readIdentity(
  config: FileIdentityConfig,
  trust: PeerTrust,
  version: string,
): LocalIdentity | 'unchanged';
export function readIdentity(
  config: FileIdentityConfig,
  trust: PeerTrust,
  version?: string,
): LocalIdentity | 'unchanged' {
  const certificateFile = readBounded(config.certificate);
  const keyFile = readBounded(config.privateKey);
  try {
    // The digest of a key file says nothing about the key; it never leaves this process.
    const current = createHash('sha256').update(certificateFile).update(keyFile).digest('hex');
    if (current === version) return 'unchanged';
    const chain = naming(config.certificate, () =>
      parseCertificatePem(certificateFile).map((der) => parseCertificate(der)),
    );
    const privateKey = naming(config.privateKey, () => loadPrivateKey(keyFile));
    const joined = naming(config.privateKey, () => joinKeyAndChain(config.name, chain, privateKey));
    return {
      name: config.name,
      isDefault: config.isDefault,
      trust,
      version: current,
      warnings: permissionWarnings(config.privateKey),
      ...joined,
    };
  } finally {
    keyFile.fill(0);
  }
}

/**
 * Puts a key and its chain together. Throws {@link IdentityError} if they do not belong together, or
 * are of a kind TLS has no use for.
 */
export function joinKeyAndChain(
  name: string,
  chain: readonly Certificate[],
  privateKey: KeyObject,
): KeyWithChain {
  const [leaf] = chain;
  if (leaf === undefined) throw new IdentityError('there is no certificate');
  const keyKind = keyKindOf(privateKey);
  if (keyKind === undefined) throw new IdentityError('unknown kind of key');
  if (!equal(spki(createPublicKey(privateKey)), spki(leaf.publicKey))) {
    throw new IdentityError('is not the key of the first certificate');
  }
  const restricted = schemesOfRestrictedKey(privateKey);
  if (restricted?.length === 0) {
    throw new IdentityError('is restricted to RSA-PSS parameters that TLS does not use');
  }
  const modulusBytes = rsaModulusBytes(privateKey);
  return {
    privateKey,
    leaf,
    spiffeId: spiffeIdOf(leaf),
    keyType: keyKind.startsWith('rsa') ? `${keyKind}-${String(modulusBytes * 8)}` : keyKind,
    credential: {
      name,
      certificates: chain.map(({ der }) => der),
      keyKind,
      rsaModulusBytes: modulusBytes,
      matchesServerName: (serverName) => matchesDnsName(leaf, serverName),
      issuerNames: chain.map(({ issuer }) => issuer),
      chainSchemes: chain.flatMap(({ signatureScheme }) => signatureScheme ?? []),
      ...(restricted === undefined ? {} : { signatureSchemes: knownSchemes(restricted) }),
    },
  };
}

function knownSchemes(codes: readonly number[]): readonly SignatureScheme[] {
  return Object.values(SignatureScheme).filter((scheme) => codes.includes(scheme));
}

function spki(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

function permissionWarnings(path: string): readonly string[] {
  const { mode } = statSync(path);
  if ((mode & 0o077) === 0) return [];
  return [`${path}: others than its owner may read or write the private key`];
}

function readBounded(path: string): Buffer {
  return naming(path, () => {
    const { size } = statSync(path);
    if (size > maxFileBytes)
      throw new IdentityError(`is longer than ${String(maxFileBytes)} bytes`);
    return readFileSync(path);
  });
}

function naming<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new IdentityError(message.includes(path) ? message : `${path}: ${message}`, { cause });
  }
}

const maxFileBytes = 262_144;
