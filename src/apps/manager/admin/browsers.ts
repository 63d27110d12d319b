import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { AdministrationError } from './administration-error.ts';

/**
 * Refuses what a page from elsewhere could have an operator's browser do, where the browser reaches us through a
 * forwarder on its own host. Browsers send `Origin` with everything that could change something, so nothing that has it
 * changes anything here (cross-site request forgery); and an attacker's own name, made to point at the forwarder, is not
 * among the names we answer to (DNS rebinding). Throws {@link AdministrationError}.
 */
export function refuseForeignPages(
  { method, headers }: IncomingMessage,
  names: ReadonlySet<string>,
): void {
  if (
    method !== 'GET' &&
    (headers.origin !== undefined || headers['sec-fetch-mode'] !== undefined)
  ) {
    throw new AdministrationError('not_for_browsers', 'pages can look, and change nothing');
  }
  const host = (headers.host ?? '').toLowerCase().replace(/:\d{1,5}$/u, '');
  const address = host.replace(/^\[(.*)\]$/u, '$1');
  if (isIP(address) === 0 && !names.has(host)) {
    throw new AdministrationError(
      'unknown_host',
      'the Host of this request is no name of this manager',
    );
  }
}
