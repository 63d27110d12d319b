/**
 * Which peers are meant: a SPIFFE ID, or one that ends in `/*`, which stands for any one segment:
 * `spiffe://example.org/manager/*` is every manager of a trust domain.
 */

/** Throws `TypeError` for what is neither; the sidecar judges the ID itself. */
export function requirePeerPattern(text: string): string {
  if (text.startsWith('spiffe://') && !text.slice(0, -2).includes('*')) return text;
  throw new TypeError(`"${text}" is neither a SPIFFE ID nor one that ends in /*`);
}

/** Whether an identity is one of those meant. */
export function isMeant(id: string | undefined, patterns: readonly string[]): boolean {
  if (id === undefined) return false;
  return patterns.some((pattern) => {
    if (!pattern.endsWith('/*')) return pattern === id;
    const parent = pattern.slice(0, -1);
    return id.startsWith(parent) && /^[^/]+$/u.test(id.slice(parent.length));
  });
}
