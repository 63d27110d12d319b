import path from 'node:path';
import { Daemon, findProgram, run } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { HandshakeView, Peer, PeerClient, PeerServer } from '../peer.ts';
import { ianaSuite } from '../suites.ts';
import { freePort } from '../../support/free-port.ts';

const server: PeerServer = {
  cannot: () => undefined,
  cannotResume: () => undefined,
  async start(row, fixture) {
    const { certificateFile, privateKeyFile } = fixture.server[row.key];
    const port = await freePort();
    const daemon = await Daemon.printing(
      /^ACCEPT/m,
      'openssl',
      [
        ...['s_server', '-accept', `127.0.0.1:${String(port)}`, '-www'],
        ...['-cert', certificateFile, '-cert_chain', certificateFile, '-key', privateKeyFile],
        ...(row.clientCertificate
          ? ['-Verify', '3', '-verify_return_error', '-CAfile', fixture.rootsFile, '-tls1_2']
          : []),
      ],
      { keepInputOpen: true },
    );
    return {
      port,
      request: Buffer.from('GET / HTTP/1.0\r\n\r\n'),
      read: (answer) => {
        const page = answer.toString('latin1');
        if (!page.includes('</pre></BODY></HTML>')) throw new Error('the page is cut short');
        return { ...readSession(page), peer: /Subject: .*/.exec(page)?.[0] ?? 'none' };
      },
      stop: () => daemon.stop(),
    };
  },
};

const client: PeerClient = {
  cannot: () => undefined,
  cannotResume: () => undefined,
  async fetch(row, target, fixture) {
    const { certificateFile, privateKeyFile } = fixture.client[row.key];
    const sessionFile = path.join(fixture.directory, `${target.serverName}.session`);
    const args = [
      ...['s_client', '-connect', `127.0.0.1:${String(target.port)}`, '-ign_eof'],
      ...['-servername', target.serverName, '-verify_hostname', target.serverName],
      ...['-CAfile', fixture.rootsFile, '-verify_return_error'],
      ...(row.clientCertificate
        ? [
            '-cert',
            certificateFile,
            '-cert_chain',
            certificateFile,
            '-key',
            privateKeyFile,
            '-tls1_2',
          ]
        : []),
    ];
    const runs = [];
    for (const session of [
      ['-sess_out', sessionFile],
      ['-sess_in', sessionFile],
    ]) {
      const { stdout, text, code } = await run('openssl', [...args, ...session], {
        input: pageRequest(target.serverName),
        keepInputOpen: true,
      });
      if (code !== 0) throw new Error(`s_client: ${text.slice(-300)}`);
      const page = stdout.toString('latin1');
      runs.push({
        page,
        view: { ...readSession(page), peer: /^subject=.*/m.exec(page)?.[0] ?? '' },
      });
    }
    return runs;
  },
};

export const openssl: Peer = {
  name: 'OpenSSL',
  async probe() {
    if (findProgram('openssl') === undefined) return { missing: 'no openssl program' };
    return { version: (await run('openssl', ['version'])).text.split(' ')[1] ?? '' };
  },
  server,
  client,
};

/** Reads the line in which both commands sum up a session. */
export function readSession(text: string): HandshakeView {
  const match = /^(New|Reused), ([^,]+), Cipher is (\S+)/m.exec(text);
  if (match === null) throw new Error(`no session summary: ${text.slice(-300)}`);
  return {
    resumed: match[1] === 'Reused',
    version: match[2] ?? '',
    suite: ianaSuite(match[3] ?? ''),
  };
}
