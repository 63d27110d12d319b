import { Daemon, findProgram, run } from '../processes.ts';
import type { Finished } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { HandshakeView, Peer, PeerClient, PeerServer, Row } from '../peer.ts';
import { ianaSuite } from '../suites.ts';
import { freePort } from '../../support/free-port.ts';

const server = (more: string): PeerServer => ({
  cannot: () => undefined,
  cannotResume: () => undefined,
  async start(row, fixture) {
    const { certificateFile, privateKeyFile } = fixture.server[row.key];
    const port = await freePort();
    const daemon = await Daemon.listening(
      port,
      'gnutls-serv',
      [
        ...['--http', '--port', String(port)],
        ...['--x509certfile', certificateFile, '--x509keyfile', privateKeyFile],
        ...(row.clientCertificate
          ? ['--x509cafile', fixture.rootsFile, '--require-client-cert', '--verify-client-cert']
          : ['--disable-client-cert']),
        ...['--priority', priority(row) + more],
      ],
      { keepInputOpen: true },
    );
    return {
      port,
      request: Buffer.from('GET / HTTP/1.0\r\n\r\n'),
      read: (answer) => readPage(answer.toString('latin1')),
      stop: () => daemon.stop(),
    };
  },
});

const client = (more: string): PeerClient => ({
  cannot: () => undefined,
  cannotResume: () => undefined,
  async fetch(row, target, fixture) {
    const { certificateFile, privateKeyFile } = fixture.client[row.key];
    const runOnce = (resume: readonly string[]): Promise<Finished> =>
      run(
        'gnutls-cli',
        [
          ...['127.0.0.1', '--port', String(target.port), '--x509cafile', fixture.rootsFile],
          ...['--sni-hostname', target.serverName, '--verify-hostname', target.serverName],
          ...(row.clientCertificate
            ? ['--x509certfile', certificateFile, '--x509keyfile', privateKeyFile]
            : []),
          ...['--priority', priority(row) + more],
          ...resume,
        ],
        { input: pageRequest(target.serverName), keepInputOpen: true },
      );
    // With --resume the first connection closes without a request, so the full one is run apart.
    const runs = [];
    for (const resume of [[], ['--resume']]) {
      const { text, code } = await runOnce(resume);
      if (code !== 0) throw new Error(`gnutls-cli: ${text.slice(-300)}`);
      runs.push({ page: text, view: readClientOutput(text) });
    }
    return runs;
  },
});

/** With further words for the priority string, such as `%NO_SESSION_HASH`. */
export const gnutlsWith = (...more: readonly string[]): Peer => ({
  name: 'GnuTLS',
  async probe() {
    const missing = ['gnutls-cli', 'gnutls-serv'].find((name) => findProgram(name) === undefined);
    if (missing !== undefined) return { missing: `no ${missing} program` };
    return { version: (await run('gnutls-cli', ['--version'])).text.split(/\s/)[1] ?? '' };
  },
  server: server(more.map((word) => `:${word}`).join('')),
  client: client(more.map((word) => `:${word}`).join('')),
});

export const gnutls = gnutlsWith();

function priority(row: Row): string {
  return row.clientCertificate ? 'NORMAL:-VERS-ALL:+VERS-TLS1.2' : 'NORMAL';
}

function readClientOutput(text: string): HandshakeView {
  // "(TLS1.2-X.509)-(ECDHE-X25519)-(ECDSA-SHA256)-(AES-128-GCM)"; a resumed session is described
  // without the signature, so what signs is read from the first description.
  const descriptions = [...text.matchAll(/^- Description: (.*)$/gm)].map((match) => match[1] ?? '');
  const signature = descriptions[0]?.includes('-(RSA') ? 'RSA' : 'ECDSA';
  const cipher = /\(([^()]*)\)$/.exec(descriptions.at(-1) ?? '')?.[1] ?? '';
  return {
    version: ianaVersion(descriptions.at(-1) ?? ''),
    suite: ianaSuite(`ECDHE_${signature}_${cipher}`),
    resumed: text.includes('This is a resumed session'),
    peer: /subject `([^']*)'/.exec(text)?.[1] ?? 'none',
  };
}

function readPage(page: string): HandshakeView {
  if (!page.includes('</BODY></HTML>')) throw new Error('the page is cut short');
  const cell = (name: string): string =>
    new RegExp(`<TD>${name}</TD><TD>([^<]*)</TD>`).exec(page)?.[1] ?? '';
  const subject = /Subject: (.*)/.exec(page)?.[1];
  return {
    version: ianaVersion(cell('Protocol version:')),
    suite: ianaSuite(cell('Ciphersuite')),
    ...(subject === undefined ? {} : { peer: subject }),
  };
}

function ianaVersion(text: string): string {
  const version = /TLS(1\.\d)/.exec(text)?.[1];
  return version === undefined ? `unknown: ${text}` : `TLSv${version}`;
}
