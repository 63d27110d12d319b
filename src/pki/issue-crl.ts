import type { KeyObject } from 'node:crypto';
import type { Certificate } from './certificate.ts';
import { CrlEntries, type CrlTemplateEntry } from './crl-entries.ts';
import * as der from './der-writer.ts';
import { Tag } from './der.ts';
import {
  encodeAuthorityKeyIdExtension,
  encodeExtension,
  joinSignature,
  keyIdentifierOf,
  usableKind,
} from './issue-certificate.ts';
import { encodeDistribution } from './issue-distribution.ts';
import { ExtensionOid } from './oids.ts';
import { algorithmOfScheme, defaultScheme, signIssued } from './signature-algorithm.ts';

/** A CRL as far as it can be told without the issuer's key. */
export interface CrlContent {
  /** Greater than that of every earlier CRL of this issuer, complete or delta. */
  readonly crlNumber: bigint;
  /**
   * Present: a delta CRL, which lists what was revoked after the complete CRL of this number
   * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-5.2.4 | RFC 5280 §5.2.4}).
   */
  readonly baseCrlNumber?: bigint;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: Iterable<CrlTemplateEntry> | CrlEntries;
  /** Of a complete CRL: absolute http URL of its deltas (RFC 5280 §5.2.6). */
  readonly freshestCrlUrl?: string;
}

export interface CrlTemplate extends CrlContent {
  readonly issuer: { readonly certificate: Certificate; readonly privateKey: KeyObject };
  /** TLS number; absent: by the issuer's key. */
  readonly signatureScheme?: number;
}

/**
 * Issues a CRL of version 2 with CRL number and authority key identifier
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-5.1 | RFC 5280 §5.1}); DER, owned by the caller.
 * Time and memory grow with the number of entries only. Throws `RangeError` or `TypeError`.
 */
export function issueCrl(template: CrlTemplate): Uint8Array {
  const { certificate, privateKey } = template.issuer;
  const scheme = template.signatureScheme ?? defaultScheme(usableKind(privateKey));
  const tbs = encodeCrlToBeSigned(template, certificate, scheme);
  return joinSignature(tbs, scheme, signIssued(privateKey, scheme, tbs));
}

/**
 * The first half of {@link issueCrl}, for keys that are elsewhere: what is to be signed under `scheme`
 * (TLS number). `joinSignature` is the second. Throws `RangeError`.
 */
export function encodeCrlToBeSigned(
  content: CrlContent,
  issuer: Certificate,
  scheme: number,
): Uint8Array {
  if (issuer.keyUsage?.includes('cRLSign') === false) {
    throw new RangeError('the issuer may not sign CRLs');
  }
  const entries = encodeEntries(content.revoked);
  return der.sequence(
    der.integer(1),
    algorithmOfScheme(scheme),
    issuer.subject,
    der.time(content.thisUpdate),
    der.time(content.nextUpdate),
    // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
    ...(entries.count > 0 ? [der.element(Tag.sequence, entries.bytes)] : []),
    der.explicit(0, der.sequence(...crlExtensions(content, issuer))),
  );
}

function encodeEntries(revoked: CrlContent['revoked']): CrlEntries {
  if (revoked instanceof CrlEntries) return revoked;
  const entries = new CrlEntries();
  for (const entry of revoked) entries.add(entry);
  return entries;
}

function crlExtensions(content: CrlContent, issuer: Certificate): readonly Uint8Array[] {
  const { crlNumber, baseCrlNumber, freshestCrlUrl } = content;
  if (baseCrlNumber !== undefined && freshestCrlUrl !== undefined) {
    throw new RangeError('a delta CRL has no deltas of its own');
  }
  if (baseCrlNumber !== undefined && baseCrlNumber >= crlNumber) {
    throw new RangeError('a delta CRL comes after the CRL it adds to');
  }
  return [
    encodeAuthorityKeyIdExtension(keyIdentifierOf(issuer)),
    encodeExtension(ExtensionOid.crlNumber, false, encodeNumber(crlNumber)),
    // Critical, so that nobody takes it for a complete one.
    ...(baseCrlNumber === undefined
      ? []
      : [encodeExtension(ExtensionOid.deltaCrlIndicator, true, encodeNumber(baseCrlNumber))]),
    ...(freshestCrlUrl === undefined ? [] : encodeDistribution({ freshestCrlUrl })),
  ];
}

function encodeNumber(value: bigint): Uint8Array {
  if (value < 0n || value >= 1n << 159n) throw new RangeError('a CRL number has at most 20 bytes');
  const digits = value.toString(16);
  return der.unsignedInteger(Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex'));
}
