import type { Pkcs11Module } from './pkcs11-module.ts';

/** Values of attributes: booleans are CK_BBOOL, numbers CK_ULONG. */
export type Template = readonly (readonly [
  attribute: number,
  value: boolean | number | Uint8Array,
])[];

/** An array of CK_ATTRIBUTE in memory, with the values it points to. */
export interface EncodedTemplate {
  /** Holds the values as well; has to be held while a call is under way. */
  readonly bytes: Buffer;
  readonly count: number;
}

/*
 * typedef struct CK_ATTRIBUTE { CK_ATTRIBUTE_TYPE type; CK_VOID_PTR pValue; CK_ULONG ulValueLen; }
 */
export function encodeTemplate(module: Pkcs11Module, template: Template): EncodedTemplate {
  const values = template.map(([, value]) => encodeValue(value));
  const size = values.reduce((sum, value) => sum + value.length, 0);
  const bytes = Buffer.alloc(template.length * ATTRIBUTE_BYTES + size);
  const base = module.addressOf(bytes);
  let end = template.length * ATTRIBUTE_BYTES;
  for (const [index, [attribute]] of template.entries()) {
    const value = values[index] ?? new Uint8Array(0);
    const at = index * ATTRIBUTE_BYTES;
    bytes.writeBigUInt64LE(BigInt(attribute), at);
    bytes.writeBigUInt64LE(base + BigInt(end), at + 8);
    bytes.writeBigUInt64LE(BigInt(value.length), at + 16);
    bytes.set(value, end);
    end += value.length;
  }
  return { bytes, count: template.length };
}

/** Room for values that a call fills in, and how to read them afterwards. */
export function roomFor(
  module: Pkcs11Module,
  attributes: readonly number[],
): EncodedTemplate & { read(index: number): Uint8Array } {
  const room = new Uint8Array(MAX_VALUE_BYTES);
  const template = encodeTemplate(
    module,
    attributes.map((attribute) => [attribute, room]),
  );
  return {
    ...template,
    read: (index) => {
      const length = Number(template.bytes.readBigUInt64LE(index * ATTRIBUTE_BYTES + 16));
      // CK_UNAVAILABLE_INFORMATION, all ones: there is no such value, or it is not shown.
      if (length > MAX_VALUE_BYTES) return new Uint8Array(0);
      const at = attributes.length * ATTRIBUTE_BYTES + index * MAX_VALUE_BYTES;
      return template.bytes.subarray(at, at + length);
    },
  };
}

function encodeValue(value: boolean | number | Uint8Array): Uint8Array {
  if (typeof value === 'boolean') return Uint8Array.of(value ? 1 : 0);
  if (typeof value !== 'number') return value;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

const ATTRIBUTE_BYTES = 24;
/** More than a point of any curve here. */
const MAX_VALUE_BYTES = 256;
