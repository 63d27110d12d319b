import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect as connectTcp, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path, { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import { BuiltCommand, needsBuild, sidekey } from '../cli/built-command.ts';
import { failure, listen } from '../offload/support/connections.ts';
import { findProgram } from './support/daemon.ts';
import { startMariaDb } from './support/mariadb.ts';
import { startRedis } from './support/redis-server.ts';
import { skip } from './support/skip.ts';
import { applicationId, type Stage, startStage } from './support/stage.ts';

const execute = promisify(execFile);

describe('sidekey forward', function () {
  this.timeout(60_000);
  let stage: Stage;
  let directory: string;
  const running: BuiltCommand[] = [];

  before(async function () {
    needsBuild(this);
    stage = await startStage();
    directory = mkdtempSync(join(tmpdir(), 'sidekey-forward-'));
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map((command) => command.stop('SIGKILL')));
  });

  after(async () => {
    await (stage as Stage | undefined)?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Starts one; answers it and where it listens. */
  async function start(...options: readonly string[]) {
    const command = new BuiltCommand(['forward', '--sidecar', stage.sidecar.address, ...options]);
    running.push(command);
    const [, address = ''] = await command.says(/^listening (\S+)\n/);
    return { command, address, port: Number(/:(\d+)$/.exec(address)?.[1]) };
  }

  /** A pair: plain in at the first, TLS between them, plain out of the second. */
  async function startPair(to: string, ...clientOptions: readonly string[]) {
    const far = await start(
      ...['--role', 'server', '--listen', '127.0.0.1:0', '--to', to],
      ...['--allow-identity', applicationId],
    );
    const near = await start(
      ...['--listen', '127.0.0.1:0', '--to', far.address, '--target-identity', applicationId],
      ...clientOptions,
    );
    return { far, near };
  }

  it('lets the mysql client reach a MariaDB that has no TLS', async function () {
    const database = await startMariaDb();
    if (database === undefined) skip(this, 'no mariadbd is installed');
    const { near } = await startPair(`unix:${database.socket}`);
    const { stdout } = await execute(findProgram('mariadb') ?? '', [
      ...['--no-defaults', '-h', '127.0.0.1', '-P', String(near.port), '-u', 'app', '-BN'],
      ...['-e', "select length(repeat('x', 1000000)), repeat('y', 100000)"],
    ]);
    expect(stdout).to.equal(`1000000\t${'y'.repeat(100_000)}\n`);
    const { err } = await near.command.stop();
    expect(err).to.match(
      /^connection from 127\.0\.0\.1:\d+, peer spiffe:\/\/test\/service\/app, \d+ bytes there, \d+ bytes back, \d+\.\d+ s, handshake \S+, ended\n$/,
    );
    await database.stop();
  });

  it('lets redis-cli reach a Redis that wants client certificates', async function () {
    const redis = await startRedis(stage.files());
    const client = findProgram('redis-cli');
    if (redis === undefined || client === undefined) skip(this, 'no Redis is installed');
    const { port } = await start(
      ...['--listen', '127.0.0.1:0', '--to', `localhost:${String(redis.port)}`],
    );
    const { stdout } = await execute(client, ['-p', String(port), 'echo', 'hello']);
    expect(stdout).to.equal('hello\n');
    await redis.stop();
  });

  it('listens on a unix socket for its own user', async () => {
    const echo = echoServer();
    const far = await start(
      ...['--role', 'server', '--listen', '127.0.0.1:0', '--allow-identity', applicationId],
      ...['--to', `127.0.0.1:${String(await listen(echo))}`],
    );
    const path = join(directory, 'near.sock');
    const near = await start('--listen', `unix:${path}`, '--to', far.address);
    expect(statSync(path).mode & 0o777).to.equal(0o600);
    const socket = connectTcp(path);
    socket.end('through a file');
    expect(await text(socket)).to.equal('through a file');
    await near.command.stop();
    expect(() => statSync(path)).to.throw();
    echo.close();
  });

  it('passes on the end of one direction and keeps the other open', async () => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      let bytes = 0;
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      socket.on('end', () => socket.end(`${String(bytes)} bytes, thank you`));
    });
    const { near } = await startPair(`127.0.0.1:${String(await listen(server))}`);
    const socket = connectTcp({ port: near.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(Buffer.alloc(3_000_000));
    expect(await text(socket)).to.equal('3000000 bytes, thank you');
    server.close();
  });

  it('breaks one side when the other breaks, and says so', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).once('data', () => socket.resetAndDestroy());
    });
    const { far, near } = await startPair(`127.0.0.1:${String(await listen(server))}`);
    const socket = connectTcp({ port: near.port, host: '127.0.0.1' });
    socket.write('x');
    expect(await failure(socket)).to.have.property('code', 'ECONNRESET');
    const [first, second] = await Promise.all([far.command.stop(), near.command.stop()]);
    expect(first.err).to.match(/, broken: .*ECONNRESET/);
    expect(second.err).to.match(/, broken: .*ERR_OFFLOAD_TRUNCATED/);
    server.close();
  });

  it('resets a caller whose server cannot be reached or believed', async () => {
    const plain = createServer((socket) => socket.on('error', () => undefined).end('no TLS here'));
    const { command, port } = await start(
      ...['--listen', '127.0.0.1:0', '--to', `127.0.0.1:${String(await listen(plain))}`],
    );
    const socket = connectTcp({ port, host: '127.0.0.1' });
    socket.write('x');
    expect(await failure(socket)).to.have.property('code', 'ECONNRESET');
    expect((await command.stop()).err).to.match(/broken: .*ERR_OFFLOAD_HANDSHAKE/);
    plain.close();
  });

  it('lets in whom it was told to, and nobody else', async () => {
    const echo = echoServer();
    const { command, port } = await start(
      ...['--role', 'server', '--listen', '127.0.0.1:0', '--allow-identity'],
      ...['spiffe://test/service/*', '--to', `127.0.0.1:${String(await listen(echo))}`],
    );
    const open = (uri: string) => {
      const issued = stage.ca.issue({ uris: [uri] });
      return connectTls({
        ...{ host: 'localhost', port, ca: stage.ca.pem, maxVersion: 'TLSv1.2' as const },
        ...{ cert: issued.certificatePem, key: issued.privateKeyPem },
      });
    };
    const friend = open('spiffe://test/service/friend');
    friend.write('hello');
    expect(String(((await once(friend, 'data')) as [Buffer])[0])).to.equal('hello');
    friend.end();
    const stranger = open('spiffe://test/operator/friend');
    expect(await failure(stranger)).to.be.instanceOf(Error);
    const { err } = await command.stop();
    expect(err).to.match(/connection from 127\.0\.0\.1:\d+, refused: .*friend/);
    echo.close();
  });

  it('takes no more connections than it was told to', async () => {
    const echo = echoServer();
    const { near } = await startPair(
      `127.0.0.1:${String(await listen(echo))}`,
      ...['--max-connections', '2'],
    );
    const sockets = [0, 1, 2].map(() => connectTcp({ port: near.port, host: '127.0.0.1' }));
    const answers = await Promise.all(
      sockets.map(async (socket) => {
        socket.on('error', () => undefined).write('x');
        return new Promise<string>((resolve) => {
          socket.once('data', () => {
            resolve('served');
          });
          socket.once('close', () => {
            resolve('closed');
          });
        });
      }),
    );
    expect(answers.sort()).to.deep.equal(['closed', 'served', 'served']);
    for (const socket of sockets) socket.end();
    expect((await near.command.stop()).err).to.contain('connection refused: there are 2 already');
    echo.close();
  });

  it('finishes what it has begun when told to stop', async () => {
    const echo = echoServer();
    const { near } = await startPair(`127.0.0.1:${String(await listen(echo))}`);
    const socket = connectTcp({ port: near.port, host: '127.0.0.1' });
    socket.write('before');
    await once(socket, 'data');
    near.command.child.kill('SIGTERM');
    const late = async (): Promise<boolean> => {
      const other = connectTcp({ port: near.port, host: '127.0.0.1' });
      const outcome = await Promise.race([
        once(other, 'connect').then(() => true),
        once(other, 'close').then(() => false),
      ]).catch(() => false);
      other.destroy();
      return outcome;
    };
    while (await late());
    socket.write('after');
    expect(String(((await once(socket, 'data')) as [Buffer])[0])).to.equal('after');
    socket.end();
    const { code, err } = await near.command.finished;
    expect(code).to.equal(0);
    expect(err).to.contain(', ended\n');
    echo.close();
  });

  it('breaks what does not end when its time is over', async () => {
    const echo = echoServer();
    const { near } = await startPair(
      `127.0.0.1:${String(await listen(echo))}`,
      ...['--drain', '50ms'],
    );
    const socket = connectTcp({ port: near.port, host: '127.0.0.1' });
    socket.on('error', () => undefined).write('x');
    await once(socket, 'data');
    const { code } = await near.command.stop();
    expect(code).to.equal(0);
    echo.close();
  });

  it('starts by every command of its page', async () => {
    const page = readFileSync(
      path.join(import.meta.dirname, '../../doc/adapters/forward.md'),
      'utf8',
    );
    const commands = [...page.replaceAll('\\\n', ' ').matchAll(/^sidekey forward (.+)$/gmu)];
    expect(commands).to.have.length(3);
    for (const [, options = ''] of commands) {
      const words = options.split(/\s+/u).map((word) => word.replaceAll("'", ''));
      const listenAt = words.indexOf('--listen') + 1;
      await start(...words.with(listenAt, '127.0.0.1:0'));
    }
  });

  describe('refuses', () => {
    const cases = [
      {
        name: 'a plain side that others can reach',
        options: ['--listen', '0.0.0.0:0', '--to', 'db.example.org:1'],
        says: '--listen leaves this host in plain: see --dangerously-plain-remote',
      },
      {
        name: 'a plain side that leaves the host',
        options: [
          ...['--role', 'server', '--listen', '127.0.0.1:0', '--to', 'db.example.org:1'],
          ...['--allow-identity', 'spiffe://test/service/x'],
        ],
        says: '--to leaves this host in plain: see --dangerously-plain-remote',
      },
      {
        name: 'a name that looks like an address of this host',
        options: [
          ...['--role', 'server', '--listen', '127.0.0.1:0', '--to', '127.0.0.1.example.org:1'],
          ...['--allow-identity', 'spiffe://test/service/x'],
        ],
        says: '--to leaves this host in plain: see --dangerously-plain-remote',
      },
      {
        name: 'a server for everybody',
        options: ['--role', 'server', '--listen', '127.0.0.1:0', '--to', '127.0.0.1:1'],
        says: '--role server needs --allow-identity: who may connect',
      },
      {
        name: 'options of the other role',
        options: ['--listen', '127.0.0.1:0', '--to', 'a:1', '--allow-identity', 'spiffe://x/y'],
        says: 'option --allow-identity is not for --role client',
      },
      {
        name: 'a unix socket without a name to expect',
        options: ['--listen', '127.0.0.1:0', '--to', 'unix:/x'],
        says: 'a unix socket has no name: say --servername or --target-identity',
      },
    ];
    for (const { name, options, says } of cases) {
      it(name, async () => {
        const { code, err } = await sidekey([
          ...['forward', '--sidecar', stage.sidecar.address],
          ...options,
        ]);
        expect(code).to.equal(2);
        expect(err).to.contain(says);
      });
    }
  });
});

function echoServer(): Server {
  return createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined).pipe(socket);
  });
}
