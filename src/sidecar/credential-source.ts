import type { KeyObject } from 'node:crypto';

/**
 * An identity that is not read from files: whoever enrols with an authority obtains it, renews it and
 * follows what the authority says about trust. Everything it shows is replaced as a whole, so that a
 * handshake sees one state.
 */
export interface CredentialSource {
  /** What to show to peers; absent as long as it has not enrolled. */
  readonly current: SourceCredential | undefined;
  /** What opens what is encrypted for it; absent as `current`, or if it has no such key. */
  readonly decryption?: SourceCredential | undefined;
  /** The same of before the last renewal, as long as something may still be on its way to it. */
  readonly retiredDecryption?: SourceCredential | undefined;
  /** Whom to believe; absent as long as it has not enrolled. */
  readonly trust: SourceTrust | undefined;
  /** Who is not to be believed any more. */
  readonly revocations: RevocationList;
  readonly status: SourceStatus;
  /** Why it cannot be used, or not for long; absent: all is well. */
  readonly problem: string | undefined;
  /** Session tickets sealed before are void; absent: there was no such order. */
  readonly ticketKeysNotBefore: Date | undefined;
  /** Called after anything above has changed, revocations apart. Answers how to stop it. */
  onChange(listener: () => void): () => void;
  /** Enrols with the content of a bundle file. Rejects with `ServiceError`. */
  enroll(bundle: Uint8Array): Promise<Enrolment>;
  /** Renews the certificates now; answers until when they are good. Rejects with `ServiceError`. */
  renew(): Promise<Date>;
  /**
   * Destroys keys and certificates; what ended when it enrolled begins anew. Answers whether there was
   * anything to forget. Rejects with `ServiceError`.
   */
  forget(): Promise<boolean>;
}

/** An identity with a certificate of its own making, until another one has enrolled. */
export interface BootstrapSource {
  /** What to show to peers; absent when shut, and as long as there is no key. */
  readonly current: SourceCredential | undefined;
  /** The other one has enrolled: never to be used again, unless that is forgotten. */
  readonly isShut: boolean;
  /** Why it cannot be used though it is not shut, or not for long; absent: all is well. */
  readonly problem: string | undefined;
  /** Called after anything above has changed. Answers how to stop it. */
  onChange(listener: () => void): () => void;
}

/** A private key and its certificates. */
export interface SourceCredential {
  /** Another for every key and chain. */
  readonly version: string;
  readonly privateKey: KeyObject;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

/** One version of the trust bundle. */
export interface SourceTrust {
  /** Grows. */
  readonly sequence: number;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** DER: for chains that lack them. */
  readonly intermediates: readonly Uint8Array[];
}

/** Certificates that were revoked and have not expired yet. */
export interface RevocationList {
  readonly size: number;
  isRevoked(certificate: {
    /** Big-endian without leading zeros. */
    readonly serial: Uint8Array;
    readonly spiffeId?: string | undefined;
  }): boolean;
  all(): Iterable<RevokedCertificate>;
  /** Called with what was added, or with nothing when the list was replaced as a whole. */
  onAdded(listener: (added: readonly RevokedCertificate[] | undefined) => void): () => void;
}

/** One certificate, or all of one SPIFFE ID. */
export type RevokedCertificate = (
  { readonly serial: Uint8Array } | { readonly spiffeId: string }
) & {
  /** As in {@link https://www.rfc-editor.org/rfc/rfc5280#section-5.3.1 | RFC 5280 §5.3.1}. */
  readonly reason: string;
};

/** How the enrolment is, for people and metrics. */
export interface SourceStatus {
  readonly state: 'waiting for a bundle' | 'enrolling' | 'enrolled' | 'expired' | 'revoked';
  readonly renewAt: Date | undefined;
  /** When the authority was heard of last. */
  readonly trustReceivedAt: Date | undefined;
  readonly bundleSequence: number;
  readonly feedSequence: number;
  /** Certificates obtained since the process started, and attempts that failed. */
  readonly renewals: number;
  readonly failedRenewals: number;
}

/** What enrolling came to. */
export interface Enrolment {
  readonly spiffeId: string;
  readonly notAfter: Date;
  /** It had enrolled before, with the same bundle. */
  readonly alreadyEnrolled: boolean;
}
