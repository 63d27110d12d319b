import { type RevocationReason, revocationReasons } from './crl.ts';
import * as der from './der-writer.ts';
import { encodeExtension } from './issue-certificate.ts';
import { ExtensionOid } from './oids.ts';

export interface CrlTemplateEntry {
  /** Big-endian, positive. */
  readonly serialNumber: Uint8Array;
  readonly revokedAt: Date;
  /** Absent or `unspecified`: not encoded, as RFC 5280 §5.3.1 asks. */
  readonly reason?: RevocationReason;
}

/**
 * Entries of a CRL to be, encoded as they are added: for lists so long that they are put together
 * piece by piece, with other work in between. Takes about 50 bytes for each.
 */
export class CrlEntries {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #length = 0;
  #count = 0;
  // Many are revoked at a time, and moments are whole seconds.
  #second = Number.NaN;
  #time: Uint8Array = new Uint8Array(0);

  get count(): number {
    return this.#count;
  }

  /** The entries one after the other; valid until the next {@link add}. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Throws `RangeError` for a moment or number that cannot be encoded. */
  add({ serialNumber, revokedAt, reason }: CrlTemplateEntry): void {
    const entry = der.sequence(
      der.unsignedInteger(serialNumber),
      this.#timeOf(revokedAt),
      ...(reason === undefined || reason === 'unspecified' ? [] : [reasonExtensions[reason]]),
    );
    this.#reserve(entry.length);
    this.#bytes.set(entry, this.#length);
    this.#length += entry.length;
    this.#count += 1;
  }

  #timeOf(moment: Date): Uint8Array {
    const second = Math.floor(moment.getTime() / 1000);
    if (second !== this.#second) {
      this.#time = der.time(moment);
      this.#second = second;
    }
    return this.#time;
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + length));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

function encodeReason(reason: RevocationReason): Uint8Array {
  const value = der.enumerated(revocationReasons[reason]);
  return der.sequence(encodeExtension(ExtensionOid.reasonCode, false, value));
}

/** There are few, and each is the same bytes whenever it is given. */
const reasonExtensions: Readonly<Record<RevocationReason, Uint8Array>> = {
  unspecified: encodeReason('unspecified'),
  keyCompromise: encodeReason('keyCompromise'),
  cACompromise: encodeReason('cACompromise'),
  affiliationChanged: encodeReason('affiliationChanged'),
  superseded: encodeReason('superseded'),
  cessationOfOperation: encodeReason('cessationOfOperation'),
  certificateHold: encodeReason('certificateHold'),
  privilegeWithdrawn: encodeReason('privilegeWithdrawn'),
  aACompromise: encodeReason('aACompromise'),
};

const INITIAL_BYTES = 4096;
