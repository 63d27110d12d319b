/**
 * A message of the authority for programs: names as they are, bytes in hexadecimal digits, moments as
 * ISO 8601, counts as numbers. What is absent or empty is left out.
 */
export function toJson(message: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(message).flatMap(([name, value]: [string, unknown]) => {
      const json = valueOf(value);
      return json === undefined ? [] : [[name, json]];
    }),
  );
}

function valueOf(value: unknown): unknown {
  if (value === undefined || value === '') return undefined;
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Uint8Array) {
    return value.length === 0 ? undefined : Buffer.from(value).toString('hex');
  }
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item: unknown) => valueOf(item) ?? '');
  return typeof value === 'object' && value !== null ? toJson(value) : value;
}
