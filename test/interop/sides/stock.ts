import type { Fixture } from '../fixture.ts';
import { exchange, startNodeServer } from '../node-tls.ts';
import { readViewLines } from '../view-lines.ts';
import type { HandshakeView } from '../peer.ts';
import type { OurSide } from './our-side.ts';

/**
 * `node:tls` in the place of Sidekey: shows that a peer, its driver and its reasons for not being
 * able to do something hold against a stock TLS 1.2 stack (`--control`).
 */
export function stockSide(fixture: Fixture): OurSide {
  const sessions = new Map<string, { readonly ticket: Buffer; readonly view: HandshakeView }>();
  const options = {
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20:!ARIA:!AESCCM',
    ecdhCurve: 'X25519:P-256:P-384',
  } as const;
  return {
    name: 'node:tls',
    async startServer(row, { alpn, mode = 'www' } = {}) {
      const server = await startNodeServer({
        fixture,
        identity: fixture.server[row.key],
        clientCertificate: row.clientCertificate,
        mode,
        options: { ...options, ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }) },
      });
      return { ...server, readPage: (page) => withSpiffeId(readViewLines(page)) };
    },
    async connect(row, { alpn, ...target }) {
      const earlier = sessions.get(target.serverName);
      const { answer, view, session } = await exchange({
        fixture,
        identity: row.clientCertificate ? fixture.client[row.key] : undefined,
        options: { ...options, ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }) },
        session: earlier?.ticket,
        ...target,
      });
      if (session !== undefined) sessions.set(target.serverName, { ticket: session, view });
      return { answer, view: withSpiffeId({ ...earlier?.view, ...view }) };
    },
    close: () => Promise.resolve(),
  };
}

/** Sidekey names a peer by its SPIFFE ID, `node:tls` by all its names. */
function withSpiffeId(view: HandshakeView): HandshakeView {
  return { ...view, peer: /URI:([^,\s]+)/.exec(view.peer ?? '')?.[1] ?? 'none' };
}
