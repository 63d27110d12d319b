import path from 'node:path';
import { Daemon, findProgram, run } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { Peer, PeerClient, PeerServer, Row } from '../peer.ts';
import { freePort } from '../../support/free-port.ts';

const noEd25519 = 'Botan 2 has no Ed25519 in TLS';

function cannotAny(row: Row, noCertificate: string): string | undefined {
  if (row.key === 'ed25519') return noEd25519;
  return row.clientCertificate ? noCertificate : undefined;
}

const server: PeerServer = {
  cannot: (row) => cannotAny(row, 'botan tls_server has no option to ask for a client certificate'),
  cannotResume: () => 'botan tls_server gives out no tickets, only session ids',
  async start(row, fixture) {
    const { certificateFile, privateKeyFile } = fixture.server[row.key];
    const port = await freePort();
    const daemon = await Daemon.listening(port, 'botan', [
      'tls_server',
      certificateFile,
      privateKeyFile,
      `--port=${String(port)}`,
    ]);
    const line = `echo ${'0123456789abcdef'.repeat(64)}\n`;
    return {
      port,
      request: Buffer.from(line),
      answerEnd: /\n/,
      read: (answer) => {
        if (answer.toString('latin1') !== line)
          throw new Error('the echo differs from what was sent');
        return {};
      },
      stop: () => daemon.stop(),
    };
  },
};

const client: PeerClient = {
  // It resolves the name it asks for.
  serverName: 'localhost',
  cannot: (row) => cannotAny(row, 'botan tls_client has no option for a client certificate'),
  cannotResume: () => undefined,
  async fetch(_row, target, fixture) {
    const runs = [];
    const database = path.join(fixture.directory, `${target.serverName}.sqlite`);
    for (let attempt = 0; attempt < 2; attempt++) {
      const { text } = await run(
        'botan',
        [
          ...[
            'tls_client',
            'localhost',
            `--port=${String(target.port)}`,
            '--skip-system-cert-store',
          ],
          `--trusted-cas=${fixture.rootsFile}`,
          ...[`--session-db=${database}`, '--session-db-pass=interop'],
        ],
        { input: pageRequest('localhost'), keepInputOpen: true },
      );
      const done = /Handshake complete, TLS v1\.2 using (\S+)/.exec(text);
      if (done === null) throw new Error(`botan tls_client: ${text.slice(-300)}`);
      // It checks a chain only when it gets one.
      const verified = text.includes('Certificate validation status: Verified');
      const view = { version: 'TLSv1.2', suite: `TLS_${done[1] ?? ''}`, resumed: !verified };
      runs.push({ page: text, view });
    }
    return runs;
  },
};

export const botan: Peer = {
  name: 'Botan',
  async probe() {
    if (findProgram('botan') === undefined) return { missing: 'no botan program' };
    return { version: (await run('botan', ['version'])).text.trim() };
  },
  server,
  client,
};
