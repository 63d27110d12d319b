import type { Outcome } from '../cell.ts';
import type { IdentityFiles } from '../fixture.ts';
import { pageRequest } from '../peer.ts';
import type { HandshakeView, Row } from '../peer.ts';
import { Daemon, run, tail } from '../processes.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';
import { freePort } from '../../support/free-port.ts';

/** A way of s_client or s_server, and what our side must say of the handshake. */
interface Variation {
  readonly name: string;
  readonly options: readonly string[];
  readonly row?: Row;
  readonly expected?: Partial<HandshakeView>;
  readonly notForControl?: string;
}

const mutualRsa: Row = { key: 'rsa', clientCertificate: true };

const asClient: readonly Variation[] = [
  { name: 'no server name', options: ['-noservername'], expected: { serverName: 'none' } },
  { name: 'no ALPN though we have it', options: [], expected: { alpn: 'none' } },
  { name: 'our second protocol', options: ['-alpn', 'x,http/1.1'], expected: { alpn: 'http/1.1' } },
  { name: 'no session tickets', options: ['-no_ticket'], expected: { resumed: false } },
  // RFC 7507: there is no higher version than the one it falls back to.
  { name: 'a fallback that is none', options: ['-tls1_2', '-fallback_scsv'] },
  { name: 'messages in fragments of 512 bytes', options: fragments(), row: mutualRsa },
  { name: 'status request', options: ['-status'] },
];

const asServer: readonly Variation[] = [
  {
    name: 'no session tickets',
    options: ['-no_ticket'],
    expected: { resumed: false },
    notForControl: 'node:tls resumes by session id',
  },
  { name: 'no ALPN', options: [], expected: { alpn: 'none' } },
  { name: 'messages in fragments of 512 bytes', options: fragments(), row: mutualRsa },
  {
    name: 'requests, but does not require, a certificate',
    options: ['-verify', '3'],
    row: mutualRsa,
  },
  { name: 'RSA-PSS only', options: ['-sigalgs', 'rsa_pss_rsae_sha256'], row: rsa() },
  { name: 'RSA PKCS #1 only', options: ['-sigalgs', 'RSA+SHA256'], row: rsa() },
];

/** Habits of OpenSSL that its options switch. */
export const opensslOptionChecks: readonly Check[] = [
  ...asClient.map((variation) => ({
    heading: 'OpenSSL client with options',
    name: variation.name,
    needs: ['openssl'],
    run: (bench: Bench) => serveClient(bench, variation),
  })),
  ...asServer.map((variation) => ({
    ...variation,
    heading: 'OpenSSL server with options',
    name: variation.name,
    needs: ['openssl'],
    run: (bench: Bench) => connectToServer(bench, variation),
  })),
];

async function serveClient(bench: Bench, variation: Variation): Promise<Outcome> {
  const { options, row = plain, expected = {} } = variation;
  const server = await bench.server(row, { alpn: ['h2', 'http/1.1'] });
  const serverName = nameFor(variation);
  const { stdout, text, code } = await run(
    'openssl',
    [
      ...['s_client', '-connect', `127.0.0.1:${String(server.port)}`, '-ign_eof'],
      ...(options.includes('-noservername') ? [] : ['-servername', serverName]),
      ...['-CAfile', bench.fixture.rootsFile, '-verify_return_error', ...options],
      ...(row.clientCertificate ? shown(bench.fixture.client[row.key]) : []),
    ],
    { input: pageRequest(serverName), keepInputOpen: true },
  );
  if (code !== 0) return failed(`s_client: ${tail(text)}`);
  return judge(server.readPage(stdout.toString('latin1')), { serverName, ...expected });
}

async function connectToServer(bench: Bench, variation: Variation): Promise<Outcome> {
  const { options, row = plain, expected = {} } = variation;
  const port = await freePort();
  const daemon = await Daemon.printing(
    /^ACCEPT/m,
    'openssl',
    [
      ...['s_server', '-accept', `127.0.0.1:${String(port)}`, '-www', '-tls1_2'],
      ...['-CAfile', bench.fixture.rootsFile, ...options],
      ...(row.clientCertificate && !options.includes('-verify') ? ['-Verify', '3'] : []),
      ...shown(bench.fixture.server[row.key]),
    ],
    { keepInputOpen: true },
  );
  try {
    const target = { port, serverName: nameFor(variation), alpn: ['h2'] };
    const request = Buffer.from('GET / HTTP/1.0\r\n\r\n');
    // Twice: what is expected holds for a second connection, too.
    for (const time of ['first', 'second']) {
      const { answer, view } = await bench.ours.connect(row, { ...target, request });
      const page = answer.toString('latin1');
      if (!page.includes('</pre></BODY></HTML>')) return failed(`the ${time} page is cut short`);
      if (row.clientCertificate && !page.includes(bench.fixture.client[row.key].commonName)) {
        return failed(`the ${time} page does not show our certificate`);
      }
      const outcome = judge(view, expected);
      if (outcome.status !== 'passed') return outcome;
    }
    return passed;
  } finally {
    await daemon.stop();
  }
}

function judge(view: HandshakeView, expected: Partial<HandshakeView>): Outcome {
  for (const field of ['serverName', 'alpn', 'resumed'] as const) {
    const said = view[field];
    // A name that is absent is not told; the control's server never tells `none`.
    if (expected[field] !== undefined && (said ?? 'none') !== expected[field]) {
      return failed(`our side says ${field} ${String(said)}`);
    }
  }
  return passed;
}

function fragments(): readonly string[] {
  return ['-max_send_frag', '512'];
}

function rsa(): Row {
  return { key: 'rsa', clientCertificate: false };
}

function nameFor({ name }: Variation): string {
  return `${name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.interop.test`;
}

function shown(identity: IdentityFiles): readonly string[] {
  const { certificateFile, privateKeyFile } = identity;
  return ['-cert', certificateFile, '-cert_chain', certificateFile, '-key', privateKeyFile];
}

const plain: Row = { key: 'ecdsa', clientCertificate: false };
