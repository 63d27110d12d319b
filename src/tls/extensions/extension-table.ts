import type { Reader } from '../../bytes/reader.ts';
import type { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import type { ExtensionType } from '../registries.ts';

/** How the body of one extension is read and written; one file each defines one or two of these. */
export interface ExtensionCodec<V> {
  /** Reads the whole body; leftovers are refused by the caller. */
  parse(body: Reader): V;
  encode(writer: Writer, value: V): void;
}

/** One row of a table: which extension fills which field of `T`. */
export interface ExtensionRow<T> {
  readonly type: ExtensionType;
  read(body: Reader, into: Mutable<T>): void;
  /** Whether `extensions` holds something to send: a value, or `true`. */
  isPresent(extensions: T): boolean;
  write(writer: Writer, extensions: T): void;
}

/** The extensions one message may carry. The order is the order of sending. */
export type ExtensionTable<T> = readonly ExtensionRow<T>[];

/** What a message's extension block said. */
export interface ReceivedExtensions<T> {
  readonly extensions: T;
  readonly extensionsPresent: boolean;
  readonly extensionTypes: readonly number[];
}

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Builds the row for a field. A field is absent when `undefined`, or `false` for bare flags. */
export function row<T, K extends keyof T>(
  type: ExtensionType,
  field: K,
  codec: ExtensionCodec<NonNullable<T[K]>>,
): ExtensionRow<T> {
  return {
    type,
    read(body, into) {
      into[field] = codec.parse(body);
    },
    isPresent(extensions) {
      return extensions[field] !== undefined && extensions[field] !== false;
    },
    write(writer, extensions) {
      const value = extensions[field];
      if (value !== undefined && value !== null) codec.encode(writer, value);
    },
  };
}

// struct {
//   ExtensionType extension_type;
//   opaque extension_data<0..2^16-1>;
// } Extension;

/**
 * Reads the optional extension block at the end of a hello
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.4 | RFC 5246 §7.4.1.4}). Extensions
 * without a row are skipped but listed in `extensionTypes`.
 *
 * Throws `decode_error` for a type that comes twice, `illegal_parameter` for more of them than we
 * care to look at.
 */
export function parseExtensions<T>(
  message: string,
  reader: Reader,
  table: ExtensionTable<T>,
  empty: T,
): ReceivedExtensions<T> {
  const extensionTypes: number[] = [];
  const extensions: Mutable<T> = { ...empty };
  if (reader.remaining === 0) return { extensions, extensionsPresent: false, extensionTypes };
  const block = reader.vec16();
  while (block.remaining > 0) {
    const type = block.u16();
    const body = block.vec16();
    if (extensionTypes.includes(type)) {
      throw new TlsAlertError('decode_error', `${message}: duplicate extension ${String(type)}`);
    }
    if (extensionTypes.length === maxExtensions) {
      throw new TlsAlertError('illegal_parameter', `${message}: too many extensions`);
    }
    extensionTypes.push(type);
    const known = table.find((candidate) => candidate.type === type);
    if (known === undefined) continue;
    known.read(body, extensions);
    body.end();
  }
  return { extensions, extensionsPresent: true, extensionTypes };
}

/** Writes the block, or nothing at all when no extension is present. */
export function encodeExtensions<T>(writer: Writer, table: ExtensionTable<T>, extensions: T): void {
  const rows = table.filter((candidate) => candidate.isPresent(extensions));
  if (rows.length === 0) return;
  writer.vec16(() => {
    for (const present of rows) {
      writer.u16(present.type).vec16(() => {
        present.write(writer, extensions);
      });
    }
  });
}

/** The types {@link encodeExtensions} would write, in order: what counts as offered. */
export function presentTypes<T>(table: ExtensionTable<T>, extensions: T): readonly number[] {
  return table.filter((candidate) => candidate.isPresent(extensions)).map(({ type }) => type);
}

/** Browsers send about 20; duplicate detection is quadratic in this. */
const maxExtensions = 64;
