import type { KeyObject } from 'node:crypto';
import type { KeyKind } from '../crypto/keys.ts';
import { rsaModulusBytes, schemeFitsKey, verifySignature } from '../crypto/signatures.ts';
import { TlsAlertError } from './alert.ts';
import type { CipherSuite } from './cipher-suites.ts';
import type { ChainVerdict } from './config.ts';
import type { SignatureScheme } from './registries.ts';
import { NamedGroup } from './registries.ts';

/** A chain the driver vouches for and the key in its leaf; possession is not proven yet. */
export interface PeerKey {
  /** DER, leaf first; not empty. */
  readonly certificates: readonly Uint8Array[];
  readonly publicKey: KeyObject;
  readonly keyKind: KeyKind;
}

/** What a peer signed. */
export interface PeerSignature {
  readonly scheme: number;
  readonly content: Uint8Array;
  readonly signature: Uint8Array;
}

/** Takes the driver's verdict on a chain; a refusal is thrown with the alert it names. */
export function acceptVerdict(certificates: readonly Uint8Array[], verdict: ChainVerdict): PeerKey {
  if (!verdict.ok) throw new TlsAlertError(verdict.alert, verdict.message, verdict.reason);
  return { certificates, publicKey: verdict.publicKey, keyKind: verdict.keyKind };
}

/**
 * That we know whom we talk to, or chose not to. Cannot be made but by the functions below, so a
 * handshake that ends without having asked does not compile.
 */
export class PeerAuthentication {
  readonly certificates: readonly Uint8Array[];
  /** What was signed with in this handshake. */
  readonly scheme: SignatureScheme | undefined;

  private constructor(certificates: readonly Uint8Array[], scheme: SignatureScheme | undefined) {
    this.certificates = certificates;
    this.scheme = scheme;
  }

  /**
   * The peer signed with the key of its leaf
   * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.3 | RFC 5246 §7.4.3, §7.4.8}). Throws
   * `illegal_parameter` for a scheme we did not advertise or that does not fit the key,
   * `decrypt_error` when the signature is wrong.
   */
  static bySignature(
    message: string,
    peer: PeerKey,
    signed: PeerSignature,
    advertised: readonly SignatureScheme[],
  ): PeerAuthentication {
    const scheme = advertised.find((candidate) => candidate === signed.scheme);
    if (scheme === undefined) {
      throw new TlsAlertError('illegal_parameter', `${message}: signature scheme not offered`);
    }
    if (!schemeFitsKey(scheme, peer.keyKind, rsaModulusBytes(peer.publicKey))) {
      throw new TlsAlertError('illegal_parameter', `${message}: scheme does not fit the key`);
    }
    if (!verifySignature(peer.publicKey, scheme, signed.content, signed.signature)) {
      throw new TlsAlertError('decrypt_error', `${message}: bad signature`);
    }
    return new PeerAuthentication(peer.certificates, scheme);
  }

  /** The peer proved itself in the session that is resumed; empty if it was anonymous there. */
  static byResumption(certificates: readonly Uint8Array[]): PeerAuthentication {
    return new PeerAuthentication(certificates, undefined);
  }

  /** A client we did not insist on knowing. */
  static anonymousClient(): PeerAuthentication {
    return new PeerAuthentication([], undefined);
  }
}

/** What suites call the kind of a key: Ed25519 goes with ECDSA (RFC 8422 §5.10). */
export function suiteAuthentication(keyKind: KeyKind): CipherSuite['authentication'] {
  switch (keyKind) {
    case 'ecdsa-p256':
    case 'ecdsa-p384':
    case 'ed25519':
      return 'ecdsa';
    case 'rsa':
    case 'rsa-pss':
      return 'rsa';
  }
}

/**
 * The group the peer has to have listed for us to show a key of this kind
 * ({@link https://www.rfc-editor.org/rfc/rfc8422#section-5.3 | RFC 8422 §5.3}).
 */
export function groupOfKey(keyKind: KeyKind): NamedGroup | undefined {
  switch (keyKind) {
    case 'ecdsa-p256':
      return NamedGroup.secp256r1;
    case 'ecdsa-p384':
      return NamedGroup.secp384r1;
    case 'ed25519':
    case 'rsa':
    case 'rsa-pss':
      return undefined;
  }
}
