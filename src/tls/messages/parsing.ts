import { Reader, ReadError } from '../../bytes/reader.ts';
import { TlsAlertError } from '../alert.ts';

/**
 * Parses a whole body: leftovers and fields cut short are the peer's `decode_error`
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.2.2 | RFC 5246 §7.2.2}), and nothing but
 * `TlsAlertError` leaves a parser.
 */
export function parsing<T>(name: string, body: Uint8Array, parse: (reader: Reader) => T): T {
  try {
    const reader = new Reader(body);
    const value = parse(reader);
    reader.end();
    return value;
  } catch (error) {
    if (error instanceof ReadError) {
      throw new TlsAlertError('decode_error', `${name}: ${error.message}`);
    }
    throw error;
  }
}

/** A vector of two-byte codes with at least one element; an odd length is refused. */
export function codes(name: string, vector: Reader): number[] {
  if (vector.remaining === 0) throw new TlsAlertError('decode_error', `${name}: empty list`);
  const values: number[] = [];
  while (vector.remaining > 0) values.push(vector.u16());
  return values;
}

/** The bytes of a vector that may not be empty. */
export function nonEmpty(name: string, vector: Reader): Uint8Array {
  if (vector.remaining === 0) throw new TlsAlertError('decode_error', `${name}: empty`);
  return vector.rest();
}
