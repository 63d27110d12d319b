import { parseSpiffeId } from './spiffe-id.ts';

/** A SPIFFE ID, or all those that differ from each other in their last segment only. */
export type SpiffePattern =
  | { readonly kind: 'id'; readonly id: string }
  /** Ends in a slash. */
  | { readonly kind: 'below'; readonly prefix: string };

/**
 * Parses a SPIFFE ID, or one that ends in `/*`, which stands for any one segment:
 * `spiffe://example.org/manager/*` is every manager of a trust domain. A pattern names a segment at
 * least before that, so that none means a trust domain as a whole. `undefined` for anything else.
 */
export function parseSpiffePattern(text: string): SpiffePattern | undefined {
  const isPattern = text.endsWith('/*');
  const id = parseSpiffeId(isPattern ? text.slice(0, -2) : text);
  if (id === undefined || id.path === '') return undefined;
  return isPattern ? { kind: 'below', prefix: `${id.text}/` } : { kind: 'id', id: id.text };
}

/** Whether a SPIFFE ID, as it was parsed, is one of those a pattern means. */
export function matchesSpiffePattern(pattern: SpiffePattern, id: string): boolean {
  if (pattern.kind === 'id') return pattern.id === id;
  const { prefix } = pattern;
  return id.startsWith(prefix) && id.length > prefix.length && !id.includes('/', prefix.length);
}
