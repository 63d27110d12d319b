import { Gauge, type Registry } from 'prom-client';
import type { Authority } from '../../ca/index.ts';
import type { TlsAcceptor } from '../in-process-tls/tls-acceptor.ts';

/** What is measured of an authority's listener and of those who follow it. */
export function registerAuthorityMetrics(
  registry: Registry,
  authority: Authority,
  acceptor: TlsAcceptor<unknown>,
): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name: `sidekey_authority_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  gauge('connections', 'Connections of hosts.', () => acceptor.connections);
  gauge('tls_handshakes', 'TLS handshakes with hosts in progress.', () => acceptor.handshakes);
  gauge('followers', 'Hosts that follow trust.', () => authority.trust.followers);
  gauge('feed_sequence', 'Number of the last feed entry read.', () => authority.trust.feed.head);
  gauge(
    'bundle_sequence',
    'Version of the trust bundle.',
    () => authority.trust.feed.bundle?.sequence ?? 0,
  );
  gauge('revoked', 'Revocations that have not expired.', () => authority.trust.revocations.size);
  gauge(
    'own_certificate_not_after_seconds',
    'End of validity of the certificate shown to hosts, in seconds since the epoch.',
    () => authority.credential().notAfter.getTime() / 1000,
  );
}
