import { Daemon, run, tail } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { Row } from '../peer.ts';
import type { IdentityFiles } from '../fixture.ts';
import { failed, passed } from './check.ts';
import type { Bench, Check } from './check.ts';
import { freePort } from '../../support/free-port.ts';

interface RefusedClient {
  readonly name: string;
  readonly clientCertificate?: boolean;
  readonly args?: readonly string[];
  readonly identity?: (bench: Bench) => IdentityFiles;
  /** The alert in OpenSSL's words (RFC 5246 §7.2.2). */
  readonly alert: RegExp;
}

const refusedClients: readonly RefusedClient[] = [
  { name: 'TLS 1.3 only', args: ['-tls1_3'], alert: /alert protocol version/ },
  {
    name: 'TLS 1.1 only',
    args: ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'],
    alert: /alert protocol version/,
  },
  {
    name: 'CBC suites only',
    args: ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256'],
    alert: /alert handshake failure/,
  },
  {
    name: 'RSA key transport only',
    args: ['-tls1_2', '-cipher', 'AES128-GCM-SHA256'],
    alert: /alert handshake failure/,
  },
  {
    name: 'suites for another kind of key',
    args: ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256'],
    alert: /alert handshake failure/,
  },
  {
    name: 'no group of ours',
    args: ['-tls1_2', '-groups', 'P-521'],
    alert: /alert handshake failure/,
  },
  { name: 'no protocol of ours', args: ['-alpn', 'smtp'], alert: /alert no application protocol/ },
  { name: 'no certificate', clientCertificate: true, alert: /alert handshake failure/ },
  {
    name: "a stranger's certificate",
    clientCertificate: true,
    identity: ({ fixture }) => fixture.stranger.client,
    alert: /alert unknown ca/,
  },
  {
    name: "a server's certificate",
    clientCertificate: true,
    identity: ({ fixture }) => fixture.server.ecdsa,
    alert: /alert (unsupported certificate|bad certificate)/,
  },
];

interface RefusedServer {
  readonly name: string;
  readonly args?: readonly string[];
  readonly identity?: (bench: Bench) => IdentityFiles;
  readonly serverName?: string;
  readonly alert: RegExp;
}

const refusedServers: readonly RefusedServer[] = [
  {
    name: "a stranger's certificate",
    identity: ({ fixture }) => fixture.stranger.server,
    alert: /alert unknown ca/,
  },
  { name: 'another name', serverName: 'www.example.org', alert: /alert bad certificate/ },
  {
    name: "a client's certificate",
    identity: ({ fixture }) => fixture.client.ecdsa,
    alert: /alert (unsupported certificate|bad certificate)/,
  },
  {
    name: 'TLS 1.3 only',
    args: ['-tls1_3'],
    alert: /unsupported protocol|alert protocol version/,
  },
];

const notForControl = 'node:tls closes without an alert, or with another';

/** What must not succeed, with the alert OpenSSL has to report. */
export const refusalChecks: readonly Check[] = [
  ...refusedClients.map((refused) => ({
    heading: 'refused with the right alert, peer is OpenSSL client',
    name: refused.name,
    needs: ['openssl'],
    notForControl,
    run: (bench: Bench) => refuseClient(bench, refused),
  })),
  ...refusedServers.map((refused) => ({
    heading: 'refused with the right alert, peer is OpenSSL server',
    name: refused.name,
    needs: ['openssl'],
    notForControl,
    run: (bench: Bench) => refuseServer(bench, refused),
  })),
];

async function refuseClient(bench: Bench, refused: RefusedClient): ReturnType<Check['run']> {
  const { clientCertificate = false, args = [], identity } = refused;
  const row: Row = { key: 'ecdsa', clientCertificate };
  const server = await bench.server(row, { alpn: ['h2', 'http/1.1'] });
  const { text } = await run(
    'openssl',
    [
      ...['s_client', '-connect', `127.0.0.1:${String(server.port)}`, '-ign_eof', ...args],
      ...['-CAfile', bench.fixture.rootsFile, ...(identity ? shown(identity(bench)) : [])],
    ],
    { input: pageRequest('refused.interop.test'), keepInputOpen: true },
  );
  if (text.includes('200 OK')) return failed('the page was served');
  return refused.alert.test(text) ? passed : failed(`s_client says ${tail(text)}`);
}

async function refuseServer(bench: Bench, refused: RefusedServer): ReturnType<Check['run']> {
  const { args = [], identity, serverName = 'refused.interop.test' } = refused;
  const row: Row = { key: 'ecdsa', clientCertificate: false };
  const port = await freePort();
  const daemon = await Daemon.printing(
    /^ACCEPT/m,
    'openssl',
    [
      ...['s_server', '-accept', `127.0.0.1:${String(port)}`, ...args],
      ...shown(identity?.(bench) ?? bench.fixture.server.ecdsa),
    ],
    { keepInputOpen: true },
  );
  try {
    const target = { port, serverName, request: Buffer.from('x'), answerEnd: /./ };
    const refusal = await bench.ours.connect(row, target).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refusal === undefined) return failed('the connection was made');
    await daemon.waitFor(refused.alert, 3_000);
    return passed;
  } finally {
    await daemon.stop();
  }
}

function shown(identity: IdentityFiles): readonly string[] {
  const { certificateFile, privateKeyFile } = identity;
  return ['-cert', certificateFile, '-cert_chain', certificateFile, '-key', privateKeyFile];
}
