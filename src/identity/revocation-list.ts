import { latin1 } from '../pki/trust-anchors.ts';

/** One revoked certificate, by its serial number, or all of one SPIFFE ID. */
export type RevokedCertificate = ({ readonly serial: Uint8Array } | { readonly spiffeId: string }) &
  RevocationFacts;

interface RevocationFacts {
  /** As in {@link https://www.rfc-editor.org/rfc/rfc5280#section-5.3.1 | RFC 5280 §5.3.1}. */
  readonly reason: string;
  /** When the certificate ends anyway; absent: unknown. */
  readonly notAfter: Date | undefined;
}

/** More than that were revoked than a host can hold. */
export class TooManyRevocationsError extends Error {
  override readonly name = 'TooManyRevocationsError';
}

/**
 * Certificates of the trust domain that were revoked and have not ended yet. Grows, until a snapshot
 * replaces it as a whole.
 */
export class RevocationList {
  readonly #now: () => Date;
  #serials = new Map<string, RevocationFacts>();
  #spiffeIds = new Map<string, RevocationFacts>();
  readonly #listeners = new Set<(added: readonly RevokedCertificate[] | undefined) => void>();

  constructor(now: () => Date) {
    this.#now = now;
  }

  get size(): number {
    return this.#serials.size + this.#spiffeIds.size;
  }

  isRevoked(certificate: {
    /** Big-endian; leading zeros do not matter. */
    readonly serial: Uint8Array;
    readonly spiffeId?: string | undefined;
  }): boolean {
    const { serial, spiffeId } = certificate;
    if (this.size === 0) return false;
    return (
      this.#serials.has(serialKey(serial)) ||
      (spiffeId !== undefined && this.#spiffeIds.has(spiffeId))
    );
  }

  *all(): Iterable<RevokedCertificate> {
    for (const [key, facts] of this.#serials) {
      yield { serial: Buffer.from(key, 'latin1'), ...facts };
    }
    for (const [spiffeId, facts] of this.#spiffeIds) yield { spiffeId, ...facts };
  }

  /**
   * Adds, and tells listeners what was not known. Throws {@link TooManyRevocationsError} with the
   * list full.
   */
  add(revoked: readonly RevokedCertificate[]): void {
    const added = revoked.filter((each) => this.#insert(each));
    if (added.length > 0) this.#tell(added);
  }

  /** Forgets what was known for these. Throws {@link TooManyRevocationsError} and changes nothing. */
  replace(revoked: readonly RevokedCertificate[]): void {
    if (revoked.length > maxRevocations) throw tooMany();
    this.#serials = new Map();
    this.#spiffeIds = new Map();
    for (const each of revoked) this.#insert(each);
    this.#tell(undefined);
  }

  /** Forgets certificates that have ended; answers how many. */
  prune(): number {
    const before = this.size;
    const limit = this.#now().getTime() - clockMarginMs;
    for (const table of [this.#serials, this.#spiffeIds]) {
      for (const [key, { notAfter }] of table) {
        if (notAfter !== undefined && notAfter.getTime() < limit) table.delete(key);
      }
    }
    return before - this.size;
  }

  /** Called with what was added, or with nothing when the list was replaced. Answers how to stop it. */
  onAdded(listener: (added: readonly RevokedCertificate[] | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #insert(revoked: RevokedCertificate): boolean {
    const { reason, notAfter } = revoked;
    const [table, key] =
      'serial' in revoked
        ? [this.#serials, serialKey(revoked.serial)]
        : [this.#spiffeIds, revoked.spiffeId];
    if (table.has(key)) return false;
    if (this.size >= maxRevocations) throw tooMany();
    table.set(key, { reason, notAfter });
    return true;
  }

  #tell(added: readonly RevokedCertificate[] | undefined): void {
    for (const listener of this.#listeners) listener(added);
  }
}

/** Bytes as one-byte characters: half the memory of hexadecimal. */
function serialKey(serial: Uint8Array): string {
  const first = serial.findIndex((byte) => byte !== 0);
  return latin1(first <= 0 ? serial : serial.subarray(first));
}

function tooMany(): TooManyRevocationsError {
  const message = `more than ${String(maxRevocations)} certificates are revoked`;
  return new TooManyRevocationsError(message);
}

/** Some 150 MiB. */
const maxRevocations = 1_000_000;
/** Our clock may be ahead of the one by which the certificate ends elsewhere. */
const clockMarginMs = 3_600_000;
