import { parseSpiffeId } from './spiffe-id.ts';

/** A SPIFFE ID, or all those that differ from each other in their last segment only, or in their trust domain as well. */
export type SpiffePattern =
  | { readonly kind: 'id'; readonly id: string }
  | {
      readonly kind: 'below';
      /** Absent: any. */
      readonly trustDomain: string | undefined;
      /** Path before the last segment; ends in a slash. */
      readonly parent: string;
    };

/**
 * Parses a SPIFFE ID, or one that ends in `/*`, which stands for any one segment:
 * `spiffe://example.org/manager/*` is every manager of a trust domain. With `*` for its trust domain, it is every manager
 * of all domains one trusts. A pattern names a segment at least before the last, so that none means a trust domain as a
 * whole. `undefined` for anything else.
 */
export function parseSpiffePattern(text: string): SpiffePattern | undefined {
  if (!text.endsWith('/*')) {
    const id = parseSpiffeId(text);
    return id === undefined || id.path === '' ? undefined : { kind: 'id', id: id.text };
  }
  const isAnyDomain = text.startsWith(anyDomain);
  const named = isAnyDomain ? `spiffe://any/${text.slice(anyDomain.length)}` : text;
  const id = parseSpiffeId(named.slice(0, -2));
  if (id === undefined || id.path === '') return undefined;
  const trustDomain = isAnyDomain ? undefined : id.trustDomain;
  return { kind: 'below', trustDomain, parent: `${id.path}/` };
}

/** Whether a SPIFFE ID, as it was parsed, is one of those a pattern means. */
export function matchesSpiffePattern(pattern: SpiffePattern, id: string): boolean {
  if (pattern.kind === 'id') return pattern.id === id;
  const { trustDomain, parent } = pattern;
  const parsed = parseSpiffeId(id);
  if (parsed === undefined) return false;
  if (trustDomain !== undefined && parsed.trustDomain !== trustDomain) return false;
  const last = parsed.path.slice(parent.length);
  return parsed.path.startsWith(parent) && last !== '' && !last.includes('/');
}

const anyDomain = 'spiffe://*/';
