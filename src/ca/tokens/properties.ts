import { hash } from '../../crypto/hash.ts';

/** What an operator says of a token and what comes from it; kept as they are, in the order of their names. */
export type Properties = Readonly<Record<string, string>>;

/**
 * Reads a map of properties: at most 32, names of `[a-z0-9._-]`, values of at most 256 printable
 * characters. Answers them in the order of their names, or what is wrong.
 */
export function checkProperties(
  properties: Readonly<Record<string, string>>,
):
  | { readonly ok: true; readonly value: Properties }
  | { readonly ok: false; readonly problem: string } {
  const entries = Object.entries(properties).sort(byName);
  if (entries.length > MAX_PROPERTIES) {
    return { ok: false, problem: `more than ${String(MAX_PROPERTIES)} properties` };
  }
  for (const [name, value] of entries) {
    if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) {
      return {
        ok: false,
        problem: 'a property has a name other than of 1 to 64 characters a-z 0-9 . _ -',
      };
    }
    if (value.length > MAX_VALUE || !/^[^\p{Cc}\p{Cs}]*$/u.test(value)) {
      return { ok: false, problem: `property ${name} is not up to 256 printable characters` };
    }
  }
  return { ok: true, value: Object.fromEntries(entries) };
}

/** The one JSON text of properties: names in order, no spaces. */
export function canonicalProperties(properties: Properties): string {
  return JSON.stringify(Object.fromEntries(Object.entries(properties).sort(byName)));
}

/** SHA-256 over the canonical JSON: what a token binds. */
export function propertiesDigest(canonical: string): Uint8Array {
  return hash('sha256', Buffer.from(canonical, 'utf8'));
}

/** Reads properties as the store keeps them. Throws `TypeError` if they are not a map of strings. */
export function parseStoredProperties(text: string): Properties {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('stored properties are not a map');
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, text]: [string, unknown]) => {
      if (typeof text !== 'string') throw new TypeError('a stored property is not a text');
      return [name, text];
    }),
  );
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const MAX_PROPERTIES = 32;
const MAX_VALUE = 256;
