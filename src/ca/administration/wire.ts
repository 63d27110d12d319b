/** The small differences between rows of the store and messages. */

export function bytes(value: Uint8Array | null | undefined): Buffer {
  return value === null || value === undefined ? Buffer.alloc(0) : Buffer.from(value);
}

export function moment(value: number | null | undefined): Date | undefined {
  return value === null || value === undefined ? undefined : new Date(value);
}
