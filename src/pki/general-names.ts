import { DerError, type DerReader, Tag } from './der.ts';
import { explicit, implicit, sequence } from './der-writer.ts';
import { relativeNames } from './distinguished-name.ts';

/**
 * The names in a subject alternative name extension, by kind, in order of appearance
 * ({@link https://www.rfc-editor.org/rfc/rfc5280#section-4.2.1.6 | RFC 5280 §4.2.1.6}). Strings are
 * IA5 as encoded, not yet judged as names; addresses are 4 or 16 bytes in certificates.
 */
export interface GeneralNames {
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly Uint8Array[];
  readonly uris: readonly string[];
  readonly emailAddresses: readonly string[];
  /** DER names. */
  readonly directoryNames: readonly Uint8Array[];
  /** Whole elements of the kinds we do not interpret: otherName, x400Address, ediPartyName, registeredID. */
  readonly others: readonly OtherGeneralName[];
}

export interface OtherGeneralName {
  /** Number of the alternative in the CHOICE. */
  readonly kind: number;
  readonly content: Uint8Array;
}

export const noNames: GeneralNames = {
  dnsNames: [],
  ipAddresses: [],
  uris: [],
  emailAddresses: [],
  directoryNames: [],
  others: [],
};

/** Numbers of the alternatives of `GeneralName` (RFC 5280 appendix A.2). */
export const GeneralNameKind = {
  otherName: 0,
  rfc822Name: 1,
  dNSName: 2,
  x400Address: 3,
  directoryName: 4,
  ediPartyName: 5,
  uniformResourceIdentifier: 6,
  iPAddress: 7,
  registeredID: 8,
} as const;

/** Reads a non-empty `GeneralNames` value. Throws `DerError`. */
export function readGeneralNames(reader: DerReader): GeneralNames {
  const collected = {
    dnsNames: [] as string[],
    ipAddresses: [] as Uint8Array[],
    uris: [] as string[],
    emailAddresses: [] as string[],
    directoryNames: [] as Uint8Array[],
    others: [] as OtherGeneralName[],
  };
  do {
    readGeneralName(reader, collected);
  } while (!reader.done);
  return collected;
}

/** Reads one `GeneralName` into the list of its kind. Throws `DerError`. */
export function readGeneralName(reader: DerReader, into: MutableGeneralNames): void {
  const { tag, content } = reader.any();
  switch (tag) {
    case primitive.rfc822Name:
      into.emailAddresses.push(ia5(content));
      return;
    case primitive.dNSName:
      into.dnsNames.push(ia5(content));
      return;
    case primitive.uniformResourceIdentifier:
      into.uris.push(ia5(content));
      return;
    case primitive.iPAddress:
      into.ipAddresses.push(content);
      return;
    case constructed.directoryName: {
      // EXPLICIT, as Name is a CHOICE.
      relativeNames(content);
      into.directoryNames.push(content);
      return;
    }
    case constructed.otherName:
    case constructed.x400Address:
    case constructed.ediPartyName:
    case primitive.registeredID:
      into.others.push({ kind: tag & 0x1f, content });
      return;
    default:
      throw new DerError('has a name of an unknown kind');
  }
}

/** DER of each name we issue, URIs first. Throws `RangeError` for what cannot be encoded. */
export function encodeEachName(
  names: Partial<GeneralNames>,
  addressBytes: readonly number[],
): readonly Uint8Array[] {
  if (names.others !== undefined && names.others.length > 0) {
    throw new RangeError('names of other kinds are read only');
  }
  return [
    ...(names.uris ?? []).map((uri) =>
      implicit(GeneralNameKind.uniformResourceIdentifier, ascii(uri)),
    ),
    ...(names.dnsNames ?? []).map((name) => implicit(GeneralNameKind.dNSName, ascii(name))),
    ...(names.ipAddresses ?? []).map((address) => {
      if (!addressBytes.includes(address.length)) {
        throw new RangeError(`an IP address of ${String(address.length)} bytes`);
      }
      return implicit(GeneralNameKind.iPAddress, address);
    }),
    ...(names.emailAddresses ?? []).map((mail) =>
      implicit(GeneralNameKind.rfc822Name, ascii(mail)),
    ),
    ...(names.directoryNames ?? []).map((name) => explicit(GeneralNameKind.directoryName, name)),
  ];
}

/** A `GeneralNames` value for a subject. */
export function encodeGeneralNames(names: Partial<GeneralNames>): Uint8Array {
  const encoded = encodeEachName(names, [4, 16]);
  if (encoded.length === 0) throw new RangeError('an empty list of alternative names');
  return sequence(...encoded);
}

interface MutableGeneralNames {
  readonly dnsNames: string[];
  readonly ipAddresses: Uint8Array[];
  readonly uris: string[];
  readonly emailAddresses: string[];
  readonly directoryNames: Uint8Array[];
  readonly others: OtherGeneralName[];
}

function ia5(content: Uint8Array): string {
  let text = '';
  for (const byte of content) {
    if (byte >= 0x80) throw new DerError('has a name that is not ASCII');
    text += String.fromCharCode(byte);
  }
  return text;
}

function ascii(text: string): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new RangeError('a name is printable ASCII without spaces');
  return Buffer.from(text, 'latin1');
}

const primitive = {
  rfc822Name: Tag.context(GeneralNameKind.rfc822Name),
  dNSName: Tag.context(GeneralNameKind.dNSName),
  uniformResourceIdentifier: Tag.context(GeneralNameKind.uniformResourceIdentifier),
  iPAddress: Tag.context(GeneralNameKind.iPAddress),
  registeredID: Tag.context(GeneralNameKind.registeredID),
};

const constructed = {
  otherName: Tag.contextConstructed(GeneralNameKind.otherName),
  x400Address: Tag.contextConstructed(GeneralNameKind.x400Address),
  directoryName: Tag.contextConstructed(GeneralNameKind.directoryName),
  ediPartyName: Tag.contextConstructed(GeneralNameKind.ediPartyName),
};
