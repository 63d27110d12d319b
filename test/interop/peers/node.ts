import { exchange, startNodeServer } from '../node-tls.ts';
import { pageRequest } from '../peer.ts';
import type { Peer, PeerClient, PeerServer, Row } from '../peer.ts';
import { readViewLines } from '../view-lines.ts';

const server: PeerServer = {
  cannot: () => undefined,
  cannotResume: () => undefined,
  async start(row, fixture) {
    const started = await startNodeServer({
      fixture,
      identity: fixture.server[row.key],
      clientCertificate: row.clientCertificate,
      options: versions(row),
    });
    return {
      ...started,
      request: Buffer.from(pageRequest('interop.test')),
      read: (answer) => readViewLines(answer.toString('latin1')),
    };
  },
};

const client: PeerClient = {
  cannot: () => undefined,
  cannotResume: () => undefined,
  async fetch(row, target, fixture) {
    const runs = [];
    let session: Buffer | undefined;
    for (let attempt = 0; attempt < 2; attempt++) {
      const done = await exchange({
        fixture,
        identity: row.clientCertificate ? fixture.client[row.key] : undefined,
        options: versions(row),
        session,
        request: Buffer.from(pageRequest(target.serverName)),
        ...target,
      });
      session = done.session;
      runs.push({ page: done.answer.toString('latin1'), view: done.view });
    }
    return runs;
  },
};

export const node: Peer = {
  name: 'node:tls',
  probe: () => Promise.resolve({ version: process.version.slice(1) }),
  server,
  client,
};

function versions(row: Row): { readonly maxVersion?: 'TLSv1.2' } {
  return row.clientCertificate ? { maxVersion: 'TLSv1.2' } : {};
}
