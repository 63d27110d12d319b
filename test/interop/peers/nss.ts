import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Fixture, IdentityFiles } from '../fixture.ts';
import { Daemon, findProgram, run } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { HandshakeView, Peer, PeerClient, PeerServer, Row } from '../peer.ts';
import { freePort } from '../../support/free-port.ts';

const noEd25519 = 'NSS 3 has no Ed25519 certificates in TLS';

const server: PeerServer = {
  cannot: (row) => (row.key === 'ed25519' ? noEd25519 : undefined),
  cannotResume: () => undefined,
  async start(row, fixture) {
    const identity = fixture.server[row.key];
    const database = await createDatabase(fixture, identity, `server-${row.key}`);
    const port = await freePort();
    const daemon = await Daemon.listening(port, 'selfserv', [
      ...['-d', database, '-p', String(port), '-n', identity.commonName, '-u', '-G', '-v'],
      ...(row.clientCertificate ? ['-r', '-r'] : []),
      ...versions(row),
    ]);
    let seen = daemon.output.length;
    return {
      port,
      request: Buffer.from('GET / HTTP/1.0\r\n\r\n'),
      read: (answer) => {
        // It answers with the request it got.
        if (!/GET \/ HTTP\/1\.0\s+EOF/.test(answer.toString('latin1'))) {
          throw new Error('the page is cut short');
        }
        const printed = daemon.output.slice(seen);
        seen = daemon.output.length;
        const { peer, ...view } = readOutput(printed);
        // Without a client certificate it prints its own.
        return row.clientCertificate && peer !== undefined ? { ...view, peer } : view;
      },
      stop: () => daemon.stop(),
    };
  },
};

const client: PeerClient = {
  cannot: (row) => (row.key === 'ed25519' ? noEd25519 : undefined),
  cannotResume: () => undefined,
  async fetch(row, target, fixture) {
    const identity = fixture.client[row.key];
    const database = await createDatabase(fixture, identity, `client-${row.key}`);
    const requestFile = path.join(database.slice('sql:'.length), `${target.serverName}.request`);
    writeFileSync(requestFile, pageRequest(target.serverName));
    // NSS checks the name it is given with -a; two connections, the second one resumes.
    const { stdout, stderr } = await run('tstclnt', [
      ...['-4', '-h', 'localhost', '-p', String(target.port), '-a', target.serverName],
      ...['-d', database, '-A', requestFile, '-L', '2', '-u', '-G', '-v'],
      ...(row.clientCertificate ? ['-n', identity.commonName] : []),
      ...versions(row),
    ]);
    const pages = stdout.toString('latin1').split(/(?=^HTTP\/1\.1 )/m);
    const said = stderr.split('tstclnt: ready...').slice(1);
    if (said.length !== 2 || pages.length !== 2) throw new Error(`tstclnt: ${stderr.slice(-300)}`);
    return said.map((lines, index) => ({ page: pages[index] ?? '', view: readOutput(lines) }));
  },
};

export const nss: Peer = {
  name: 'NSS',
  async probe() {
    const programs = ['tstclnt', 'selfserv', 'certutil', 'pk12util', 'openssl'];
    const missing = programs.find((name) => findProgram(name) === undefined);
    if (missing !== undefined) return { missing: `no ${missing} program` };
    const version = await run('dpkg-query', ['-W', '-f', '${Version}', 'libnss3-tools']).catch(
      () => undefined,
    );
    return { version: version?.code === 0 ? version.text : 'unknown version' };
  },
  server,
  client,
};

/** A certificate database that trusts our roots and holds one identity. */
async function createDatabase(
  fixture: Fixture,
  identity: IdentityFiles,
  name: string,
): Promise<string> {
  const existing = databases.get(`${fixture.directory} ${name}`);
  if (existing !== undefined) return existing;
  const created = fillDatabase(identity, path.join(fixture.directory, `nss-${name}`));
  databases.set(`${fixture.directory} ${name}`, created);
  return created;
}

const databases = new Map<string, Promise<string>>();

async function fillDatabase(identity: IdentityFiles, directory: string): Promise<string> {
  mkdirSync(directory);
  const database = `sql:${directory}`;
  const bundle = path.join(directory, 'identity.p12');
  await must('certutil', ['-N', '-d', database, '--empty-password']);
  await must('certutil', [
    ...['-A', '-d', database, '-n', 'root', '-t', 'CT,,', '-a', '-i', identity.rootFile],
  ]);
  await must('openssl', [
    ...['pkcs12', '-export', '-name', identity.commonName, '-passout', 'pass:', '-out', bundle],
    ...['-in', identity.certificateFile, '-inkey', identity.privateKeyFile],
  ]);
  await must('pk12util', ['-i', bundle, '-d', database, '-W', '']);
  return database;
}

async function must(command: string, args: readonly string[]): Promise<void> {
  const { code, text } = await run(command, args);
  if (code !== 0) throw new Error(`${command}: ${text.slice(-300)}`);
}

function versions(row: Row): readonly string[] {
  return ['-V', row.clientCertificate ? 'tls1.2:tls1.2' : 'tls1.2:tls1.3'];
}

/** What both programs print with -v: version as on the wire, cipher without the suite's name. */
function readOutput(text: string): HandshakeView {
  const summary = /SSL version 3\.(\d) using (\d+)-bit (AES-GCM|ChaCha20)/.exec(text);
  if (summary === null) throw new Error(`no session summary: ${text.slice(-300)}`);
  const signer = /Server Auth: \d+-bit (RSA|ECDSA)/.exec(text)?.[1] ?? 'unknown';
  const cipher =
    summary[3] === 'ChaCha20'
      ? 'CHACHA20_POLY1305_SHA256'
      : `AES_${summary[2] ?? ''}_GCM_${summary[2] === '256' ? 'SHA384' : 'SHA256'}`;
  return {
    version: `TLSv1.${String(Number(summary[1]) - 1)}`,
    suite: `TLS_ECDHE_${signer}_WITH_${cipher}`,
    resumed: /[1-9]\d* stateless resumes/.test(text),
    peer: /subject DN: (.*)/.exec(text)?.[1] ?? 'none',
  };
}
