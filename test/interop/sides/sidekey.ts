import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Fixture, IdentityFiles } from '../fixture.ts';
import { keyNames } from '../peer.ts';
import type { HandshakeView } from '../peer.ts';
import { Daemon, run, tail } from '../processes.ts';
import type { OurSide } from './our-side.ts';

/**
 * The built command, as a user runs it: a sidecar for each role, `serve` and `connect`.
 *
 * @param command - its main file, see `builtCommand`
 */
export async function sidekeySide(fixture: Fixture, command: string): Promise<OurSide> {
  const [serverSidecar, clientSidecar] = await Promise.all([
    startSidecar(fixture, command, 'server'),
    startSidecar(fixture, command, 'client'),
  ]);
  return {
    name: 'Sidekey',
    async startServer(row, { alpn = [], mode = 'www' } = {}) {
      const daemon = await Daemon.printing(/^listening \S+:\d+$/m, process.execPath, [
        ...[command, 'serve', '--sidecar', serverSidecar.address, '--listen', '127.0.0.1:0'],
        ...[`--${mode}`, '--identity', row.key],
        ...['--client-auth', row.clientCertificate ? 'require' : 'none'],
        ...(alpn.length === 0 ? [] : ['--alpn', alpn.join(',')]),
      ]);
      return {
        port: Number(/^listening \S+:(\d+)$/m.exec(daemon.output)?.[1]),
        readPage: (page) => {
          // Braces at the beginning of a line: peers print the page amid text of their own.
          const json = /^\{[\s\S]*?^\}/m.exec(page)?.[0];
          if (json === undefined) throw new Error(`no handshake described: ${tail(page)}`);
          return readReport(json);
        },
        stop: () => daemon.stop(),
      };
    },
    async connect(row, { alpn = [], answerEnd, ...target }) {
      const { code, stdout, stderr } = await run(
        process.execPath,
        [
          ...[command, 'connect', `127.0.0.1:${String(target.port)}`],
          ...['--sidecar', clientSidecar.address, '--servername', target.serverName],
          ...['--identity', row.key, '--show', '--close-after', '100ms'],
          ...(alpn.length === 0 ? [] : ['--alpn', alpn.join(',')]),
        ],
        {
          input: target.request,
          keepInputOpen: true,
          ...(answerEnd === undefined ? {} : { endInputWhen: answerEnd }),
        },
      );
      if (code !== 0) throw new Error(`sidekey connect: ${tail(stderr)}`);
      const report = stderr.split('\n').find((line) => line.startsWith('{'));
      if (report === undefined) throw new Error(`sidekey connect --show: ${tail(stderr)}`);
      return { answer: stdout, view: readReport(report) };
    },
    async close() {
      await Promise.all([serverSidecar.daemon.stop(), clientSidecar.daemon.stop()]);
    },
  };
}

export interface RunningSidecar {
  /** For `--sidecar`. */
  readonly address: string;
  readonly daemon: Daemon;
}

/** Starts the built sidecar with the three identities of one role, each named after its key. */
export async function startSidecar(
  fixture: Fixture,
  command: string,
  role: 'client' | 'server',
  more: { readonly settings?: string; readonly nodeOptions?: readonly string[] } = {},
): Promise<RunningSidecar> {
  const directory = path.join(fixture.directory, `sidecar-${role}`);
  mkdirSync(directory);
  const socket = path.join(directory, 'sidecar.sock');
  const identities = keyNames.map((key) => identitySettings(key, fixture[role][key]));
  const configuration = path.join(directory, 'sidecar.yaml');
  writeFileSync(
    configuration,
    `state: ./state
listen:
  - address: unix:${socket}
identities:
${identities.join('')}trust:
  bundle: ${fixture.rootsFile}
tls:
  clientAuth: none
${more.settings ?? ''}`,
  );
  const daemon = await Daemon.printing(/"sidecar started"/, process.execPath, [
    ...[...(more.nodeOptions ?? []), command, 'sidecar', '--config', configuration],
  ]);
  return { address: `unix:${socket}`, daemon };
}

function identitySettings(name: string, identity: IdentityFiles): string {
  return `  ${name}:
    certificate: ${identity.certificateFile}
    privateKey: ${identity.privateKeyFile}
${name === 'ecdsa' ? '    default: true\n' : ''}`;
}

/** Reads the JSON of `connect --show` and of `serve --www`. */
function readReport(json: string): HandshakeView {
  const report: unknown = JSON.parse(json);
  const field = (name: string): unknown =>
    typeof report === 'object' && report !== null
      ? new Map<string, unknown>(Object.entries(report)).get(name)
      : undefined;
  const text = (name: string): string => {
    const value = field(name);
    return typeof value === 'string' ? value : 'none';
  };
  return {
    version: text('version'),
    suite: text('suite'),
    resumed: field('resumed') === true,
    alpn: text('alpn'),
    group: text('group'),
    ...(field('serverName') === undefined ? {} : { serverName: text('serverName') }),
    peer: text('peerIdentity'),
  };
}

/** The built command: the harness shows what users get. */
export const builtCommand = path.join(import.meta.dirname, '../../../dist/cli/main.js');
