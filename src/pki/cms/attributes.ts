import { element, objectIdentifier, octetString, sequence, setOf, time } from '../der-writer.ts';
import { DerError, DerReader, readWhole, Tag } from '../der.ts';
import { dottedOid } from '../oids.ts';
import { CmsError } from './cms-error.ts';
import { SignedAttributeOid } from './cms-oids.ts';

/** What a signature covers: the digest of the content and whatever else the signer says of it. */
export interface SignedAttributes {
  /** Dotted. */
  readonly contentType: string;
  readonly messageDigest: Uint8Array;
  /** What the signer claims; absent: nothing. */
  readonly signingTime: Date | undefined;
  /** DER of the values of all others, by dotted identifier. */
  readonly others: ReadonlyMap<string, Uint8Array>;
}

/*
 * SignedAttributes ::= SET SIZE (1..MAX) OF Attribute
 * Attribute ::= SEQUENCE { attrType OBJECT IDENTIFIER, attrValues SET OF AttributeValue }
 */

/**
 * Reads signed attributes ({@link https://www.rfc-editor.org/rfc/rfc5652#section-11 | RFC 5652 §11}): in DER's
 * order, each at most once and with exactly one value, content type and message digest among them.
 * Throws `CmsError` or `DerError`.
 */
export function parseSignedAttributes(content: Uint8Array): SignedAttributes {
  const values = readAttributes(new DerReader(content));
  const { contentType, messageDigest, signingTime } = SignedAttributeOid;
  const take = <Value>(oid: string, read: (reader: DerReader) => Value): Value | undefined => {
    const value = values.get(oid);
    values.delete(oid);
    return value === undefined ? undefined : readWhole(value, read);
  };
  const type = take(contentType, (reader) => dottedOid(reader.objectIdentifier()));
  const digest = take(messageDigest, (reader) => reader.content(Tag.octetString));
  const signedAt = take(signingTime, (reader) => reader.time());
  if (type === undefined) throw unusable('there is no content type');
  if (digest === undefined) throw unusable('there is no message digest');
  return { contentType: type, messageDigest: digest, signingTime: signedAt, others: values };
}

/** The `SET OF` as it is signed (RFC 5652 §5.4): with its own tag, not the context's. */
export function encodeSignedAttributes(attributes: SignedAttributes): Uint8Array {
  const { contentType, messageDigest, signingTime, others } = attributes;
  return setOf(
    attribute(SignedAttributeOid.contentType, objectIdentifier(contentType)),
    attribute(SignedAttributeOid.messageDigest, octetString(messageDigest)),
    ...(signingTime === undefined
      ? []
      : [attribute(SignedAttributeOid.signingTime, time(signingTime))]),
    ...[...others].map(([oid, value]) => attribute(oid, value)),
  );
}

function readAttributes(list: DerReader): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  let before: Uint8Array | undefined;
  while (!list.done) {
    const encoded = list.element(Tag.sequence);
    // X.690 §11.6: what is signed is the DER, so another order would be another message.
    if (before !== undefined && Buffer.compare(before, encoded) >= 0) {
      throw new DerError('has attributes that are not in order');
    }
    before = encoded;
    const reader = readWhole(encoded, (outer) => outer.enter(Tag.sequence));
    const oid = dottedOid(reader.objectIdentifier());
    const [value, another] = valuesIn(reader.enter(Tag.set));
    reader.end();
    if (values.has(oid)) throw unusable(`${oid} is there twice`);
    if (value === undefined) throw unusable(`${oid} has no value`);
    if (another !== undefined) throw unusable(`${oid} has several values`);
    values.set(oid, value);
    if (values.size > MAX_ATTRIBUTES) throw unusable('there are too many');
  }
  return values;
}

function valuesIn(set: DerReader): readonly Uint8Array[] {
  const values: Uint8Array[] = [];
  while (!set.done) values.push(set.any().element);
  return values;
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return sequence(objectIdentifier(oid), element(Tag.set, value));
}

function unusable(problem: string): CmsError {
  return new CmsError('attributes_unusable', `of the signed attributes, ${problem}`);
}

/** More than any signer writes. */
const MAX_ATTRIBUTES = 16;
