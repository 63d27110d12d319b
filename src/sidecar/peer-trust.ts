import {
  type Certificate,
  CertificateError,
  createTrustAnchors,
  type TrustAnchors,
  type VerifiedChain,
} from '../pki/index.ts';

/** What a chain has to be good for. */
export interface ChainPurpose {
  readonly purpose: 'server' | 'client' | 'recipient';
  /** Refuse a leaf that does not state its purpose: for peers known by host name. */
  readonly requireExtendedKeyUsage: boolean;
}

/** Whom an identity believes: each judges its own peers, never by what another one trusts. */
export interface PeerTrust {
  /** Counts up: whatever was concluded under another generation is void. */
  readonly generation: number;
  readonly anchors: TrustAnchors;
  /** Verifies a peer's chain, or remembers that it did. Throws `CertificateError`. */
  verify(certificates: readonly Uint8Array[], purpose: ChainPurpose): VerifiedChain;
  /** Looks at what a server stapled to a chain just verified. Throws `CertificateError`. */
  checkStaple(chain: VerifiedChain, response: Uint8Array | undefined): void;
  /** Whether a certificate that was good may have ceased to be, since it was verified. */
  isRevoked(leaf: Certificate): boolean;
}

/** For an identity without anybody to believe. */
export const trustsNobody: PeerTrust = {
  generation: 0,
  anchors: createTrustAnchors([]),
  verify: () => {
    throw new CertificateError('unknown_ca', 'unknown_issuer', 'there is no trust bundle');
  },
  checkStaple: () => undefined,
  isRevoked: () => false,
};
