/**
 * A serial number as the store keeps it: 16 bytes. Certificates hold it as a DER INTEGER, without
 * leading zeros and with one where the first bit is set. `undefined`: none of ours.
 */
export function storedSerial(integer: Uint8Array): Uint8Array | undefined {
  let start = 0;
  while (start < integer.length && integer[start] === 0) start += 1;
  const digits = integer.subarray(start);
  if (digits.length === 0 || digits.length > SERIAL_BYTES) return undefined;
  if (digits.length === SERIAL_BYTES) return digits;
  const padded = new Uint8Array(SERIAL_BYTES);
  padded.set(digits, SERIAL_BYTES - digits.length);
  return padded;
}

const SERIAL_BYTES = 16;
