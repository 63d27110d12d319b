import { toHex } from '../bytes/bytes.ts';
import { DerReader, Tag, readWhole } from './der.ts';
import {
  element,
  objectIdentifier,
  printableString,
  sequence,
  setOf,
  utf8String,
} from './der-writer.ts';
import { AttributeOid, dottedOid, oidKey } from './oids.ts';

/** The attributes we write, in the order they are encoded. Further ones are read, never written. */
export interface NameAttributes {
  readonly country?: string;
  readonly organization?: string;
  readonly organizationalUnit?: string;
  readonly commonName?: string;
}

/**
 * A DER `Name` ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.4 | RFC 5280 §4.1.2.4}),
 * UTF8String but for the country. Without attributes: the empty name.
 */
export function encodeName(attributes: NameAttributes): Uint8Array {
  const { country, organization, organizationalUnit, commonName } = attributes;
  const relative: Uint8Array[] = [];
  if (country !== undefined) {
    if (!/^[A-Z]{2}$/.test(country)) throw new RangeError('a country is two capital letters');
    relative.push(attribute(AttributeOid.C, printableString(country)));
  }
  if (organization !== undefined) relative.push(attribute(AttributeOid.O, utf8(organization)));
  if (organizationalUnit !== undefined) {
    relative.push(attribute(AttributeOid.OU, utf8(organizationalUnit)));
  }
  if (commonName !== undefined) relative.push(attribute(AttributeOid.CN, utf8(commonName)));
  return sequence(...relative);
}

/** The relative distinguished names of a DER `Name`, each as its DER. Throws `DerError`. */
export function relativeNames(name: Uint8Array): readonly Uint8Array[] {
  /*
   * Name ::= CHOICE { rdnSequence SEQUENCE OF RelativeDistinguishedName }
   * RelativeDistinguishedName ::= SET SIZE (1..MAX) OF AttributeTypeAndValue
   * AttributeTypeAndValue ::= SEQUENCE { type OBJECT IDENTIFIER, value ANY }
   */
  const names: Uint8Array[] = [];
  const reader = readWhole(name, (outer) => outer.enter(Tag.sequence));
  while (!reader.done) {
    const relative = reader.element(Tag.set);
    readAttributes(relative);
    names.push(relative);
  }
  return names;
}

/** Reads a `Name` and answers its DER, checked for form. Throws `DerError`. */
export function readName(reader: DerReader): Uint8Array {
  const inside = reader.fork(Tag.sequence);
  while (!inside.done) {
    const set = inside.enter(Tag.set);
    do {
      const pair = set.enter(Tag.sequence);
      pair.objectIdentifier();
      pair.skip();
      pair.end();
    } while (!set.done);
  }
  return reader.element(Tag.sequence);
}

/** Whether a DER `Name` has no attribute. */
export function isEmptyName(name: Uint8Array): boolean {
  return name.length === 2;
}

/** A name for messages and logs, as RFC 4514 writes it: bounded, unprintable characters replaced. */
export function describeName(name: Uint8Array): string {
  const parts = relativeNames(name)
    .toReversed()
    .map((relative) =>
      readAttributes(relative)
        .map(({ type, value }) => `${shortNames.get(type) ?? dottedOid(type)}=${printable(value)}`)
        .join('+'),
    );
  const text = parts.join(',');
  if (text === '') return '(empty name)';
  return text.length > MAX_DESCRIPTION ? `${text.slice(0, MAX_DESCRIPTION)}...` : text;
}

/** The first common name, for listings; never a source of identity (RFC 9525 §2). */
export function commonNameOf(name: Uint8Array): string | undefined {
  for (const relative of relativeNames(name)) {
    for (const { type, value } of readAttributes(relative)) {
      if (type === commonNameKey) return printable(value);
    }
  }
  return undefined;
}

/** Mail addresses among the attributes of a name (RFC 2985 §5.2.1). */
export function emailAddressesOf(name: Uint8Array): readonly string[] {
  return relativeNames(name).flatMap((relative) =>
    readAttributes(relative)
      .filter(({ type }) => type === emailAddressKey)
      .map(({ value }) => Buffer.from(value).toString('latin1')),
  );
}

/**
 * The relative names of a DER name, each as a string that is equal for names a person would call
 * equal: letters folded to lower case and runs of spaces to one, whatever the type of the string
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-7.1 | RFC 5280 §7.1}). For name constraints only:
 * chains are linked by the bytes of names.
 */
export function comparableName(name: Uint8Array): readonly string[] {
  return relativeNames(name).map((relative) =>
    readAttributes(relative)
      .map(({ type, tag, value }) => `${dottedOid(type)}=${comparableValue(tag, value)}`)
      .sort()
      .join('+'),
  );
}

function comparableValue(tag: number, value: Uint8Array): string {
  if (!textTags.includes(tag)) return `#${toHex(value)}`;
  const text = Buffer.from(value).toString('utf8').normalize('NFKC').toLowerCase();
  return JSON.stringify(text.trim().replace(/\s+/g, ' '));
}

function readAttributes(relative: Uint8Array): readonly AttributeValue[] {
  const attributes: AttributeValue[] = [];
  const set = new DerReader(relative).enter(Tag.set);
  do {
    const pair = set.enter(Tag.sequence);
    const type = pair.objectIdentifier();
    const { tag, content } = pair.any();
    pair.end();
    attributes.push({ type, tag, value: content });
  } while (!set.done);
  return attributes;
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return setOf(sequence(objectIdentifier(oid), value));
}

function utf8(value: string): Uint8Array {
  // Upper bounds of RFC 5280 appendix A.1 (ub-common-name and its like).
  if (value === '' || value.length > 64)
    throw new RangeError('a name attribute has 1 to 64 characters');
  return utf8String(value);
}

function printable(value: Uint8Array): string {
  return Buffer.from(value)
    .toString('utf8')
    .replace(/[^\x20-\x7e\u{a1}-\u{ff}]/gu, '?');
}

interface AttributeValue {
  readonly type: string;
  readonly tag: number;
  readonly value: Uint8Array;
}

const MAX_DESCRIPTION = 200;
const textTags: readonly number[] = [Tag.utf8String, Tag.printableString, Tag.ia5String];
const emailAddressKey = oidKey(AttributeOid.emailAddress);
const commonNameKey = oidKey(AttributeOid.CN);
const shortNames = new Map<string, string>(
  Object.entries(AttributeOid).map(([name, dotted]) => [oidKey(dotted), name]),
);

/** The DER of the empty `Name`. */
export const emptyName: Uint8Array = element(Tag.sequence);
