import { accessSync, chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Fixture } from '../fixture.ts';
import { Daemon, findProgram, run } from '../processes.ts';
import type { HandshakeView, Peer, Row } from '../peer.ts';
import { ianaSuite } from '../suites.ts';
import { freePort } from '../../support/free-port.ts';

/**
 * One web server over five TLS libraries. Of mbedTLS and wolfSSL it is the only program Debian
 * has; there is no client.
 */
export const lighttpd: readonly Peer[] = [
  lighttpdPeer('mbedTLS', 'mbedtls', {
    ed25519: 'mbedTLS 2.28 cannot read Ed25519 certificates',
  }),
  lighttpdPeer('wolfSSL', 'wolfssl', {
    ed25519: 'wolfSSL 5.5 in Debian cannot read Ed25519 CA certificates, its own among them',
  }),
  lighttpdPeer('OpenSSL', 'openssl', {}),
  lighttpdPeer('GnuTLS', 'gnutls', {}),
  lighttpdPeer('NSS', 'nss', {
    ed25519: 'NSS 3 has no Ed25519 certificates in TLS',
    clients: 'mod_nss of lighttpd 1.4.69 fails to load a client CA file',
  }),
];

interface Limits {
  /** Why Ed25519 server certificates cannot be used. */
  readonly ed25519?: string;
  /** Why no client certificates can be asked for. */
  readonly clients?: string;
}

function lighttpdPeer(library: string, module: string, limits: Limits): Peer {
  return {
    name: `lighttpd/${library}`,
    async probe() {
      const program = findProgram('lighttpd');
      if (program === undefined) return { missing: 'no lighttpd program' };
      if (!hasModule(module)) return { missing: `no lighttpd module mod_${module}` };
      return { version: /lighttpd\/(\S+)/.exec((await run(program, ['-v'])).text)?.[1] ?? '' };
    },
    noClient: noClient(library),
    server: {
      cannot: (row) => {
        if (row.key === 'ed25519' && limits.ed25519 !== undefined) return limits.ed25519;
        return row.clientCertificate ? limits.clients : undefined;
      },
      cannotResume: () => undefined,
      async start(row, fixture) {
        const port = await freePort();
        const configuration = writeConfiguration(module, row, port, fixture);
        const program = findProgram('lighttpd') ?? 'lighttpd';
        const daemon = await Daemon.printing(/server started/, program, [
          '-D',
          '-f',
          configuration,
        ]);
        return {
          port,
          request: Buffer.from('GET /view.cgi HTTP/1.0\r\n\r\n'),
          read: (answer) => readEnvironment(answer.toString('latin1')),
          stop: () => daemon.stop(),
        };
      },
    },
  };
}

function noClient(library: string): string {
  return library === 'mbedTLS' || library === 'wolfSSL'
    ? `Debian has no client program over ${library}`
    : 'lighttpd is a server';
}

function hasModule(module: string): boolean {
  for (const directory of moduleDirectories) {
    try {
      accessSync(path.join(directory, `mod_${module}.so`));
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  }
  return false;
}

function writeConfiguration(module: string, row: Row, port: number, fixture: Fixture): string {
  const directory = path.join(fixture.directory, `lighttpd-${String(port)}`);
  const identity = fixture.server[row.key];
  // Without its own CAs wolfSSL breaks off with every client that asks for a staple.
  const known = module === 'wolfssl' ? identity.authoritiesFile : identity.rootFile;
  mkdirSync(directory);
  const script = path.join(directory, 'view.cgi');
  // What the TLS module tells CGI programs, and enough bytes for several records.
  writeFileSync(
    script,
    "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n" +
      `head -c ${String(fillerBytes)} /dev/zero | tr '\\000' f\necho end\n`,
  );
  chmodSync(script, 0o755);
  const settings = [
    `server.modules = ( "mod_cgi", "mod_${module}" )`,
    `server.document-root = "${directory}"`,
    'server.bind = "127.0.0.1"',
    `server.port = ${String(port)}`,
    'cgi.assign = ( ".cgi" => "" )',
    'ssl.engine = "enable"',
    `ssl.pemfile = "${identity.certificateFile}"`,
    `ssl.privkey = "${identity.privateKeyFile}"`,
    ...(module === 'wolfssl' ? [`ssl.ca-file = "${known}"`] : []),
    ...(row.clientCertificate
      ? [
          'ssl.verifyclient.activate = "enable"',
          'ssl.verifyclient.enforce = "enable"',
          'ssl.verifyclient.depth = 3',
          `ssl.verifyclient.ca-file = "${known}"`,
        ]
      : []),
  ];
  const file = path.join(directory, 'lighttpd.conf');
  writeFileSync(file, `${settings.join('\n')}\n`);
  return file;
}

function readEnvironment(answer: string): HandshakeView {
  if (!answer.endsWith(`${'f'.repeat(fillerBytes)}end\n`)) throw new Error('the page is cut short');
  const value = (name: string): string | undefined =>
    new RegExp(`^${name}=(.*)$`, 'm').exec(answer)?.[1];
  const version = value('SSL_PROTOCOL');
  const cipher = value('SSL_CIPHER');
  const subject = value('SSL_CLIENT_S_DN');
  return {
    ...(version === undefined ? {} : { version: version.replace(/^TLS(?=\d)/, 'TLSv') }),
    // mod_nss names the cipher alone.
    ...(cipher?.includes('ECDHE') ? { suite: ianaSuite(cipher) } : {}),
    ...(subject === undefined ? {} : { peer: subject }),
  };
}

const fillerBytes = 100_000;
const moduleDirectories = ['/usr/lib/lighttpd', '/usr/lib64/lighttpd', '/usr/local/lib/lighttpd'];
