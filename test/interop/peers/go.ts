import path from 'node:path';
import type { Fixture } from '../fixture.ts';
import { Daemon, findProgram, run } from '../processes.ts';
import { pageRequest } from '../peer.ts';
import type { ClientRun, Peer, Row, Target } from '../peer.ts';
import { readViewLines } from '../view-lines.ts';

export const go: Peer = {
  name: 'Go crypto/tls',
  async probe() {
    const compiler = findCompiler();
    if (compiler === undefined) return { missing: 'no go program' };
    const version = /go(1\.(\d+)\S*)/.exec((await run(compiler, ['version'])).text);
    // tls.VersionName, and the extended master secret without which nothing resumes.
    if (Number(version?.[2] ?? 0) < 21) {
      return { missing: `Go ${version?.[1] ?? ''} is older than 1.21` };
    }
    return { version: version?.[1] ?? '' };
  },
  server: {
    cannot: () => undefined,
    cannotResume: () => undefined,
    async start(row, fixture) {
      const daemon = await Daemon.printing(
        /listening \d+/,
        await program(fixture),
        arguments_('server', row, fixture),
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
    cannot: () => undefined,
    cannotResume: () => undefined,
    async fetch(row, target, fixture) {
      const { code, stdout, stderr } = await run(
        await program(fixture),
        arguments_('client', row, fixture, target),
      );
      if (code !== 0) throw new Error(`Go client: ${stderr.slice(-300)}`);
      return stdout.toString().trim().split('\n').map(readLine);
    },
  },
};

function findCompiler(): string | undefined {
  return findProgram('go', ['/usr/local/go/bin', '/usr/lib/go/bin']);
}

function program(fixture: Fixture): Promise<string> {
  built ??= build(fixture);
  return built;
}

let built: Promise<string> | undefined;

async function build(fixture: Fixture): Promise<string> {
  const source = path.join(import.meta.dirname, 'go', 'peer.go');
  const output = path.join(fixture.directory, 'go-peer');
  const { code, text } = await run(findCompiler() ?? 'go', ['build', '-o', output, source], {
    environment: { GOFLAGS: '-mod=mod', GOPROXY: 'off', GOTOOLCHAIN: 'local', GO111MODULE: 'off' },
    timeoutMs: 180_000,
  });
  if (code !== 0) throw new Error(`go build: ${text.slice(-300)}`);
  return output;
}

function arguments_(role: string, row: Row, fixture: Fixture, target?: Target): readonly string[] {
  const identity = role === 'server' ? fixture.server[row.key] : fixture.client[row.key];
  return [
    ...[role, identity.certificateFile, identity.privateKeyFile, fixture.rootsFile],
    ...(row.clientCertificate ? ['mutual', '1.2'] : ['none', 'any']),
    ...(target === undefined ? [] : [String(target.port), target.serverName]),
  ];
}

function readLine(line: string): ClientRun {
  const fields: unknown = JSON.parse(line);
  const text = (name: string): string =>
    typeof fields === 'object' && fields !== null && name in fields
      ? String((fields as Readonly<Record<string, unknown>>)[name])
      : '';
  return {
    page: text('page'),
    view: {
      version: text('version'),
      suite: text('suite'),
      resumed: text('resumed') === 'true',
      peer: text('peer'),
    },
  };
}
