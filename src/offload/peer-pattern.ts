/**
 * Which peers are meant: a SPIFFE ID, or one that ends in `/*`, which stands for any one segment:
 * `spiffe://example.org/manager/*` is every manager of a trust domain. With `*` for its trust domain, it is every
 * manager of all domains the sidecar trusts.
 */

/** Throws `TypeError` for what is neither; the sidecar judges the ID itself. */
export function requirePeerPattern(text: string): string {
  const named = text.endsWith('/*') ? text.slice(0, -2).replace(anyDomain, 'spiffe://') : text;
  if (text.startsWith('spiffe://') && !named.includes('*')) return text;
  throw new TypeError(`"${text}" is neither a SPIFFE ID nor one that ends in /*`);
}

/** Whether an identity is one of those meant. */
export function isMeant(id: string | undefined, patterns: readonly string[]): boolean {
  if (id === undefined) return false;
  return patterns.some((pattern) => {
    if (!pattern.endsWith('/*')) return pattern === id;
    const parent = pattern.slice(0, -1);
    const compared = parent.startsWith(anyDomain) ? id.replace(/(?<=^spiffe:\/\/)[^/]+/u, '*') : id;
    return compared.startsWith(parent) && /^[^/]+$/u.test(compared.slice(parent.length));
  });
}

const anyDomain = 'spiffe://*/';
