import { adminRoutes } from '../../fleet/admin-api/routes.ts';
import { AdministrationError } from './administration-error.ts';

type AdminRoute = (typeof adminRoutes)[number];
type NameOf<Route extends AdminRoute> = Route extends AdminRoute
  ? `${Route['method']} ${Route['path']}`
  : never;
/** `GET /v1/agents/{id}`. */
export type RouteName = NameOf<AdminRoute>;

export interface MatchedRoute {
  readonly name: RouteName;
  /** The UUID in the path, lower case; empty: the route has none. */
  readonly id: string;
  readonly query: URLSearchParams;
}

/** Finds what a request is for. Throws {@link AdministrationError} `not_found` or `malformed_request`. */
export function matchRoute(method: string, target: string): MatchedRoute {
  const [path = '', query = ''] = target.split('?', 2);
  const segments = path.split('/');
  const ofPath = adminRoutes.filter((route) => fits(route.path, segments));
  const route = ofPath.find((each) => each.method === method);
  if (route === undefined) {
    throw new AdministrationError('not_found', `there is no ${method} ${path.slice(0, 100)}`);
  }
  const at = route.path.split('/').indexOf('{id}');
  const id = at < 0 ? '' : (segments[at] ?? '').toLowerCase();
  if (at >= 0 && !uuid.test(id)) {
    throw new AdministrationError('malformed_request', 'the id in the path is not a UUID');
  }
  return {
    // The compiler would pair every method with every path.
    name: `${route.method} ${route.path}` as RouteName,
    id,
    query: new URLSearchParams(query),
  };
}

function fits(pattern: string, segments: readonly string[]): boolean {
  const parts = pattern.split('/');
  return (
    parts.length === segments.length &&
    parts.every((part, index) => part === '{id}' || part === segments[index])
  );
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/u;
