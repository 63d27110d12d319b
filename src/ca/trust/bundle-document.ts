import {
  TrustBundle,
  TrustBundleContent,
  type TrustBundleSignature,
} from '../../gen/sidekey/v1/certificate_authority.ts';
import type { Queries } from '../store/transaction.ts';

/** What a version of the trust bundle says. */
export interface BundleContent {
  readonly trustDomain: string;
  readonly sequence: number;
  readonly epoch: string;
  /** DER. */
  readonly roots: readonly Uint8Array[];
  /** DER: issuing CAs, and roots certified by other roots. */
  readonly intermediates: readonly Uint8Array[];
  readonly addresses: readonly string[];
  readonly createdAt: Date;
}

/** A version of the trust bundle as it stands in the store. */
export interface StoredBundle {
  readonly sequence: number;
  /** The signed encoding, as hosts get it. */
  readonly document: Uint8Array;
  readonly createdAt: Date;
}

/** The newest version; `undefined` before the first was published. */
export async function currentBundle(queries: Queries): Promise<StoredBundle | undefined> {
  const row = await queries
    .selectFrom('bundle')
    .select(['seq', 'document', 'created_at'])
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && { sequence: row.seq, document: row.document, createdAt: new Date(row.created_at) };
}

/** The bytes that roots sign around a content: they say what is signed, so nothing else can be passed off as it. */
export function signedBundleBytes(content: Uint8Array): Uint8Array {
  return Buffer.concat([prefix, content]);
}

export function encodeBundleContent(content: BundleContent): Uint8Array {
  return TrustBundleContent.encode({
    trustDomain: content.trustDomain,
    sequence: BigInt(content.sequence),
    epoch: content.epoch,
    roots: content.roots.map((der) => Buffer.from(der)),
    intermediates: content.intermediates.map((der) => Buffer.from(der)),
    addresses: [...content.addresses],
    createdAt: content.createdAt,
  }).finish();
}

/** The document: a content and its signatures, by key identifier. */
export function encodeBundle(
  content: Uint8Array,
  signatures: readonly { readonly keyIdentifier: Uint8Array; readonly signature: Uint8Array }[],
): Uint8Array {
  return TrustBundle.encode({
    content: Buffer.from(content),
    signatures: signatures.map(({ keyIdentifier, signature }): TrustBundleSignature => ({
      keyIdentifier: Buffer.from(keyIdentifier),
      signature: Buffer.from(signature),
    })),
  }).finish();
}

/** Reads a document of our own store. Throws for bytes that are none; signatures are not looked at. */
export function readBundle(document: Uint8Array): BundleContent {
  const content = TrustBundleContent.decode(TrustBundle.decode(document).content);
  return {
    trustDomain: content.trustDomain,
    sequence: Number(content.sequence),
    epoch: content.epoch,
    roots: content.roots,
    intermediates: content.intermediates,
    addresses: content.addresses,
    createdAt: content.createdAt ?? new Date(0),
  };
}

const prefix = Buffer.from('sidekey trust bundle v1\0', 'latin1');
