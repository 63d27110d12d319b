import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect, createServer as createTlsServer } from 'node:tls';
import { expect } from 'chai';
import { parseEnrolmentBundle } from '../../src/identity/enrolment-bundle.ts';
import { skip } from '../support/skip.ts';
import { createTestCa } from '../support/test-ca.ts';
import { type BuiltCommand, needsBuild } from './built-command.ts';
import { BuiltSystem } from './built-system.ts';
import { freePort } from '../support/free-port.ts';

/** A program of the system, and how many ports of each kind it listens on. */
interface Program {
  readonly name: string;
  readonly command: BuiltCommand;
  readonly secure: number;
  /** HTTP without TLS, by design: metrics on loopback, and revocation lists, which are signed. */
  readonly plain: number;
}

describe('a host without a bundle', function () {
  this.timeout(90_000);
  let system: BuiltSystem;
  let programs: readonly Program[];

  before(async function () {
    needsBuild(this);
    if (process.platform !== 'linux') return skip(this, 'ports are found as Linux lists them');
    system = new BuiltSystem();
    programs = await startSystem(system);
  });

  after(() => (system as BuiltSystem | undefined)?.close());

  it('finds on every port of the system that no TLS handshake completes', async () => {
    const strangers = waysToTry();
    for (const { name, command, secure, plain } of programs) {
      const ports = portsOf(command.child.pid ?? 0);
      expect(ports, `ports of ${name}`).to.have.length(secure + plain);
      const isPlain = await Promise.all(ports.map(speaksPlainHttp));
      expect(isPlain.filter(Boolean), `ports of ${name} without TLS`).to.have.length(plain);
      for (const port of ports) {
        for (const [how, options] of strangers) {
          expect(await completes({ ...options, port }), `${name}, ${how}`).to.equal(false);
        }
        for (const version of ['-tls1_2', '-tls1_3']) {
          expect(opensslCompletes(port, version), `${name}, openssl ${version}`).to.equal(false);
        }
      }
    }
  });

  it('is told from one for whom a handshake does complete', async () => {
    const identity = createTestCa().issue({ dnsNames: ['localhost'] });
    const server = createTlsServer({
      cert: identity.certificatePem,
      key: identity.privateKeyPem,
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    for (const [how, options] of waysToTry()) {
      expect(await completes({ ...options, port }), how).to.equal(true);
    }
    server.close();
  });
});

/** An authority, a manager, an agent that is active for it and one that waits, each beside its sidecar. */
async function startSystem(system: BuiltSystem): Promise<readonly Program[]> {
  const programs: Program[] = [];
  const start = async (
    args: readonly string[],
    says: RegExp,
    ports: Pick<Program, 'secure' | 'plain'>,
  ) => {
    const command = await system.start(args, says);
    programs.push({ name: args.join(' ').replaceAll(system.directory, ''), command, ...ports });
  };
  const authority = system.write(
    'authority.yaml',
    'authority:',
    '  trustDomain: example.org',
    `  listen: 127.0.0.1:${String(await freePort())}`,
    '  http: { address: 127.0.0.1:0 }',
    'admin: { address: 127.0.0.1:0 }',
  );
  await system.run('authority', 'init', '--config', authority);
  await start(['sidecar', '--config', authority], /authority started/u, { secure: 1, plain: 2 });
  for (const role of ['manager', 'agent']) {
    await system.run(
      ...['token', 'create', '--authority', `unix:${system.path('authority.sock')}`],
      ...['--role', role, '--count', '1', '--name', role, '--out', system.path('bundles')],
    );
  }
  const { roots } = parseEnrolmentBundle(readFileSync(system.path('bundles/agent.bundle')));
  system.write('roots.pem', ...roots.map((der) => new X509Certificate(der).toString()));
  for (const name of ['manager', 'active', 'waiting']) {
    const config = system.write(
      `${name}/sidecar.yaml`,
      'listen: [{ address: "unix:./s.sock" }]',
      'admin: { address: 127.0.0.1:0 }',
      'identities:',
      '  host: { enrolled: true, default: true }',
      '  bootstrap: { selfSigned: true, until: host, trust: ../roots.pem }',
    );
    await start(['sidecar', '--config', config], /sidecar started/u, { secure: 0, plain: 1 });
  }
  for (const [name, bundle] of [
    ['manager', 'manager'],
    ['active', 'agent'],
  ] as const) {
    await system.run(
      ...['enroll', '--bundle', system.path(`bundles/${bundle}.bundle`)],
      ...['--sidecar', `unix:${system.path(`${name}/s.sock`)}`],
    );
  }
  const manager = system.write(
    'manager/manager.yaml',
    ...['state: ./state', 'sidecar: "unix:./s.sock"', 'identity: host'],
    ...['listen: 127.0.0.1:0', 'advertise: ["127.0.0.1:1"]', 'admin: { https: 127.0.0.1:0 }'],
  );
  await start(['manager', '--config', manager], /agents can dial/u, { secure: 2, plain: 0 });
  for (const name of ['active', 'waiting']) {
    const agent = system.write(
      `${name}/agent.yaml`,
      ...['state: ./agent-state', 'sidecar: "unix:./s.sock"', 'identity: host'],
      ...['bootstrap: bootstrap', 'mode: manager-initiated', 'listen: 127.0.0.1:0'],
    );
    await start(['agent', '--config', agent], /"msg":"listening"/u, { secure: 1, plain: 0 });
  }
  return programs;
}

/** All that somebody can try who knows the names in use and has no credential. */
function waysToTry(): readonly (readonly [string, ConnectionOptions])[] {
  const names = { uris: ['spiffe://example.org/manager/00000000-0000-4000-8000-000000000000'] };
  const foreign = createTestCa({ name: 'example.org' }).issue(names);
  const credential = { cert: foreign.certificatePem, key: foreign.privateKeyPem };
  const base = { host: '127.0.0.1', rejectUnauthorized: false } as const;
  return [
    ['as browsers do', { ...base, ALPNProtocols: ['h2', 'http/1.1'] }],
    ['without ALPN', base],
    ['TLS 1.3 only', { ...base, minVersion: 'TLSv1.3' }],
    ['TLS 1.2 only', { ...base, maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] }],
    ['by a certificate of another CA', { ...base, ...credential, ALPNProtocols: ['h2'] }],
    [
      'by a certificate of another CA, TLS 1.2 only',
      { ...base, ...credential, maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] },
    ],
  ];
}

/** Whether the client comes to the end of its handshake. */
function completes(options: ConnectionOptions): Promise<boolean> {
  const socket = connect(options);
  return new Promise((resolve) => {
    socket.on('secureConnect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      resolve(false);
    });
  });
}

function opensslCompletes(port: number, version: string): boolean {
  const { stdout, stderr } = spawnSync(
    'openssl',
    ['s_client', '-connect', `127.0.0.1:${String(port)}`, version, '-brief'],
    { input: '', encoding: 'utf8' },
  );
  return `${stdout}${stderr}`.includes('CONNECTION ESTABLISHED');
}

async function speaksPlainHttp(port: number): Promise<boolean> {
  return await fetch(`http://127.0.0.1:${String(port)}/`).then(
    () => true,
    () => false,
  );
}

/** TCP ports on which a process listens, as the kernel lists them. */
function portsOf(pid: number): readonly number[] {
  const inodes = new Set(
    readdirSync(`/proc/${String(pid)}/fd`).flatMap((descriptor) => {
      const target = readlinkSync(`/proc/${String(pid)}/fd/${descriptor}`);
      return /^socket:\[(\d+)\]$/u.exec(target)?.[1] ?? [];
    }),
  );
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/${String(pid)}/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/u))
      .filter(([, , , state, , , , , , inode = '']) => state === LISTEN && inodes.has(inode))
      .map(([, local = '']) => Number.parseInt(local.split(':').at(-1) ?? '', 16)),
  );
}

/** TCP_LISTEN of Linux. */
const LISTEN = '0A';
