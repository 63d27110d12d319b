import path from 'node:path';
import type { Fixture } from '../fixture.ts';
import { Daemon, findProgram, run } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { Peer, Row, Target } from '../peer.ts';
import { readViewLines } from '../view-lines.ts';

const cannot = (row: Row): string | undefined =>
  row.key === 'ed25519' ? 'JSSE has no Ed25519 certificates in TLS' : undefined;

export const java: Peer = {
  name: 'Java JSSE',
  async probe() {
    if (findProgram('java') === undefined) return { missing: 'no java program' };
    if (findProgram('javac') === undefined) return { missing: 'no javac program' };
    return { version: /version "([^"]*)"/.exec((await run('java', ['-version'])).text)?.[1] ?? '' };
  },
  server: {
    cannot,
    cannotResume: () => undefined,
    async start(row, fixture) {
      const daemon = await Daemon.printing(
        /listening \d+/,
        'java',
        await commandLine('server', row, fixture),
      );
      return {
        port: Number(/listening (\d+)/.exec(daemon.output)?.[1]),
        request: Buffer.from(pageRequest('interop.test')),
        read: (answer) => readViewLines(answer.toString('latin1')),
        stop: () => daemon.stop(),
      };
    },
  },
  client: {
    cannot,
    cannotResume: () => undefined,
    async fetch(row, target, fixture) {
      const { code, stdout, stderr } = await run(
        'java',
        await commandLine('client', row, fixture, target),
      );
      if (code !== 0) throw new Error(`Java client: ${stderr.slice(-300)}`);
      return stdout
        .toString()
        .split(/(?<=^page: .*\n)/m)
        .map((said) => ({
          page: Buffer.from(/^page: (.*)$/m.exec(said)?.[1] ?? '', 'base64').toString('latin1'),
          view: readViewLines(said),
        }));
    },
  },
};

let compiled: Promise<string> | undefined;

async function compile(fixture: Fixture): Promise<string> {
  const source = path.join(import.meta.dirname, 'java', 'Peer.java');
  const directory = path.join(fixture.directory, 'java');
  const { code, text } = await run('javac', ['-d', directory, source], { timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`javac: ${text.slice(-300)}`);
  return directory;
}

async function commandLine(
  role: string,
  row: Row,
  fixture: Fixture,
  target?: Target,
): Promise<readonly string[]> {
  compiled ??= compile(fixture);
  const identity = role === 'server' ? fixture.server[row.key] : fixture.client[row.key];
  return [
    // Starting fast matters more here than running fast.
    ...['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', await compiled, 'Peer'],
    ...[role, identity.certificateFile, identity.privateKeyFile],
    // JSSE cannot read every root we have: the one concerned is enough.
    identity.rootFile,
    ...(row.clientCertificate ? ['mutual', '1.2'] : ['none', 'any']),
    ...(target === undefined ? [] : [String(target.port), target.serverName]),
  ];
}
