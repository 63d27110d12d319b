import type { Outcome } from '../cell.ts';
import type { Row } from '../peer.ts';
import { gnutlsWith } from '../peers/gnutls.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';

const row: Row = { key: 'ecdsa', clientCertificate: false };
const noMasterSecretExtension = gnutlsWith('-VERS-ALL', '+VERS-TLS1.2', '%NO_SESSION_HASH');
const noRenegotiationInfo = gnutlsWith(
  ...['-VERS-ALL', '+VERS-TLS1.2', '%DISABLE_SAFE_RENEGOTIATION'],
);

const notForControl = 'node:tls resumes such sessions';

/** Peers that leave out what every current one sends. GnuTLS can be told to. */
export const olderHabitChecks: readonly Check[] = [
  {
    heading: 'peers without an extension',
    needs: ['gnutls-serv', 'gnutls-cli'],
    name: 'no extended master secret (RFC 7627 §5.3), server: served, never resumed',
    notForControl,
    run: (bench) => connectTwice(bench, noMasterSecretExtension),
  },
  {
    heading: 'peers without an extension',
    needs: ['gnutls-serv', 'gnutls-cli'],
    name: 'no extended master secret (RFC 7627 §5.3), client: served, never resumed',
    notForControl,
    run: (bench) => fetchTwice(bench, noMasterSecretExtension),
  },
  {
    heading: 'peers without an extension',
    needs: ['gnutls-serv', 'gnutls-cli'],
    name: 'no renegotiation indication (RFC 5746 §4.1), server: refused',
    run: async (bench) => {
      const outcome = await connectTwice(bench, noRenegotiationInfo).catch(String);
      if (typeof outcome !== 'string') return failed('the connection was made');
      return outcome.includes('renegotiation') ? passed : failed(outcome);
    },
  },
];

async function connectTwice(
  { ours, fixture }: Bench,
  peer: ReturnType<typeof gnutlsWith>,
): Promise<Outcome> {
  const server = await peer.server?.start(row, fixture);
  if (server === undefined) return failed('no server');
  try {
    for (const time of ['first', 'second']) {
      const { answer, view } = await ours.connect(row, {
        port: server.port,
        serverName: 'older-habits.interop.test',
        request: server.request,
      });
      server.read(answer);
      if (view.resumed === true) return failed(`the ${time} connection was resumed`);
    }
    return passed;
  } finally {
    await server.stop();
  }
}

async function fetchTwice(bench: Bench, peer: ReturnType<typeof gnutlsWith>): Promise<Outcome> {
  const server = await bench.server(row);
  const target = { port: server.port, serverName: 'older-habits.interop.test' };
  const runs = (await peer.client?.fetch(row, target, bench.fixture)) ?? [];
  const resumed = runs.some(({ page }) => server.readPage(page).resumed === true);
  if (resumed || runs.length !== 2) return failed('a connection was resumed');
  return passed;
}
