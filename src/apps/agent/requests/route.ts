import { type VerbName, verbs } from '../../fleet/agent-api/verbs.ts';
import { AgentError } from '../agent-error.ts';

/** What a request line asks for. */
export interface Route {
  readonly verb: VerbName;
  /** What stands for `{name}` or `{id}` in the path; empty: nothing does. */
  readonly parameter: string;
  readonly query: Readonly<Record<string, string>>;
}

/**
 * Finds the verb of a request line. Only paths as we would write them are looked at: nothing is decoded or
 * normalized, so that nothing can be spelt in two ways. Throws {@link AgentError}.
 */
export function routeOf(method: string, target: string): Route {
  const [, path = '', search] = targetForm.exec(target) ?? [];
  if (target.length > maxTarget || path === '' || path.includes('//') || path.includes('/.')) {
    throw new AgentError('malformed_request', 'request target is not in the form of this API');
  }
  const segments = path.split('/');
  for (const { segments: wanted, method: verbMethod, name } of table) {
    if (verbMethod !== method || wanted.length !== segments.length) continue;
    if (!wanted.every((one, index) => isParameter(one) || one === segments[index])) continue;
    const at = wanted.findIndex(isParameter);
    return { verb: name, parameter: at < 0 ? '' : (segments[at] ?? ''), query: queryOf(search) };
  }
  throw new AgentError('not_found', 'there is nothing of this method and path');
}

function queryOf(search: string | undefined): Readonly<Record<string, string>> {
  if (search === undefined) return {};
  const pairs = search.split('&').map((pair) => {
    const [name = '', value, ...more] = pair.split('=');
    if (value === undefined || more.length > 0) {
      throw new AgentError('malformed_request', 'query is not name=value&…');
    }
    return [name, value] as const;
  });
  const query = Object.fromEntries(pairs);
  if (Object.keys(query).length !== pairs.length) {
    throw new AgentError('malformed_request', 'query names something twice');
  }
  return query;
}

function isParameter(segment: string): boolean {
  return segment.startsWith('{');
}

const table = Object.values(verbs).map(({ name, method, path }) => ({
  name,
  method,
  segments: path.split('/'),
}));

/** Unreserved characters only (RFC 3986 §2.3), without percent-encoding. */
const targetForm = /^((?:\/[A-Za-z0-9._~-]+)+)(?:\?([A-Za-z0-9._~=&-]*))?$/u;
const maxTarget = 512;
