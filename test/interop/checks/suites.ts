import { Daemon, run, tail } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { HandshakeView, KeyName, Row } from '../peer.ts';
import { readSession } from '../peers/openssl.ts';
import { suites } from '../suites.ts';
import type { Suite } from '../suites.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';
import { freePort } from '../../support/free-port.ts';

/** Every suite with every group against OpenSSL, both ways, with ALPN along the way. */
export const suiteChecks: readonly Check[] = suites.flatMap((suite) =>
  Object.keys(groups()).flatMap((group) => [
    {
      heading: 'suite x group x ALPN, peer is OpenSSL server',
      name: `${suite.iana} ${group}`,
      needs: ['openssl'],
      run: (bench: Bench) => asClient(bench, suite, group),
    },
    {
      heading: 'suite x group x ALPN, peer is OpenSSL client',
      name: `${suite.iana} ${group}`,
      needs: ['openssl'],
      run: (bench: Bench) => asServer(bench, suite, group),
    },
  ]),
);

/** Our names for the groups, then OpenSSL's: in options, in its output. */
function groups(): Readonly<Record<string, readonly [string, string]>> {
  return {
    x25519: ['X25519', 'X25519'],
    secp256r1: ['P-256', 'prime256v1'],
    secp384r1: ['P-384', 'secp384r1'],
  };
}

async function asClient(bench: Bench, suite: Suite, group: string): ReturnType<Check['run']> {
  const row = rowFor(suite);
  const { certificateFile, privateKeyFile } = bench.fixture.server[row.key];
  const port = await freePort();
  const serverName = nameFor(suite, group);
  const daemon = await Daemon.printing(
    /^ACCEPT/m,
    'openssl',
    [
      ...['s_server', '-accept', `127.0.0.1:${String(port)}`, '-www', '-tls1_2'],
      ...['-cert', certificateFile, '-cert_chain', certificateFile, '-key', privateKeyFile],
      ...['-cipher', suite.openssl, '-groups', groups()[group]?.[0] ?? group, '-alpn', 'h2'],
    ],
    { keepInputOpen: true },
  );
  try {
    const { answer, view } = await bench.ours.connect(row, {
      port,
      serverName,
      alpn: ['http/1.1', 'h2'],
      request: Buffer.from('GET / HTTP/1.0\r\n\r\n'),
    });
    const theirs = readSession(answer.toString('latin1'));
    return judge(view, theirs, suite, group);
  } finally {
    await daemon.stop();
  }
}

async function asServer(bench: Bench, suite: Suite, group: string): ReturnType<Check['run']> {
  // RFC 8422 §5.1.1: a client that offers X25519 alone cannot be shown a P-256 certificate.
  const row = rowFor(suite);
  const shown: Row = row.key === 'rsa' || group === 'secp256r1' ? row : { ...row, key: 'ed25519' };
  const server = await bench.server(shown, { alpn: ['h2', 'http/1.1'] });
  const serverName = nameFor(suite, group);
  const { stdout, text, code } = await run(
    'openssl',
    [
      ...['s_client', '-connect', `127.0.0.1:${String(server.port)}`, '-ign_eof', '-tls1_2'],
      ...['-servername', serverName, '-verify_hostname', serverName, '-verify_return_error'],
      ...['-CAfile', bench.fixture.rootsFile, '-alpn', 'http/1.1,h2'],
      ...['-cipher', suite.openssl, '-groups', groups()[group]?.[0] ?? group],
    ],
    { input: pageRequest(serverName), keepInputOpen: true },
  );
  if (code !== 0) return failed(`s_client: ${tail(text)}`);
  const page = stdout.toString('latin1');
  const key = /^Server Temp Key: (?:ECDH, )?([^,]+),/m.exec(page)?.[1];
  if (key !== groups()[group]?.[1]) return failed(`s_client says group ${key ?? 'none'}`);
  const alpn = /^ALPN protocol: (\S+)/m.exec(page)?.[1];
  if (alpn !== 'h2') return failed(`s_client says ALPN ${alpn ?? 'none'}`);
  return judge(server.readPage(page), readSession(page), suite, group);
}

function judge(
  ours: HandshakeView,
  theirs: HandshakeView,
  suite: Suite,
  group: string,
): Awaited<ReturnType<Check['run']>> {
  if (ours.suite !== suite.iana) return failed(`our side says suite ${String(ours.suite)}`);
  if (theirs.suite !== suite.iana) return failed(`the peer says suite ${String(theirs.suite)}`);
  const names = [group, ...(groups()[group] ?? [])];
  // The control's server does not tell.
  if (ours.group !== undefined && !names.includes(ours.group))
    return failed(`our side says group ${ours.group}`);
  return ours.alpn === 'h2' ? passed : failed(`our side says ALPN ${String(ours.alpn)}`);
}

function rowFor(suite: Suite): Row {
  const key: KeyName = suite.authentication === 'RSA' ? 'rsa' : 'ecdsa';
  return { key, clientCertificate: false };
}

function nameFor(suite: Suite, group: string): string {
  return `${suite.openssl.toLowerCase()}-${group}.interop.test`;
}
