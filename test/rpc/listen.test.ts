import { expect } from 'chai';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { listen, ListenError } from '../../src/rpc/listen.ts';
import { skip } from '../support/skip.ts';

const access = { mode: 0o600 };

describe('listen', () => {
  let directory: string;
  const servers: Server[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-listen-'));
  });

  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function newServer(): Server {
    const server = createServer((socket) => socket.on('error', () => undefined).end('hi'));
    servers.push(server);
    return server;
  }

  async function greeting(path: string): Promise<string> {
    const socket = connect({ path });
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return bytes.toString();
  }

  for (const mode of [0o600, 0o660, 0o666]) {
    it(`gives the socket mode ${mode.toString(8)} whatever the umask`, async () => {
      const path = join(directory, 's');
      const before = process.umask(0o077);
      try {
        await listen(newServer(), { kind: 'unix', path }, { mode });
      } finally {
        process.umask(before);
      }
      expect(statSync(path).mode & 0o777).to.equal(mode);
      expect(await greeting(path)).to.equal('hi');
    });
  }

  it('gives the socket its owner and group', async function () {
    if (process.getuid?.() !== 0) {
      skip(this, 'only root can give files away');
    }
    const path = join(directory, 's');
    await listen(newServer(), { kind: 'unix', path }, { mode: 0o660, owner: 1234, group: 4321 });
    expect(statSync(path)).to.include({ uid: 1234, gid: 4321 });
  });

  it('leaves nothing but the socket in the directory, and takes that away at the end', async () => {
    const path = join(directory, 's');
    const listening = await listen(newServer(), { kind: 'unix', path }, access);
    expect(readdirSync(directory)).to.deep.equal(['s']);
    await listening.close();
    expect(readdirSync(directory)).to.deep.equal([]);
  });

  it('takes over a socket whose process died', async () => {
    const path = join(directory, 's');
    // A process that is killed cannot take its socket away.
    const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script]);
    expect(existsSync(path)).to.equal(true);
    await listen(newServer(), { kind: 'unix', path }, access);
    expect(await greeting(path)).to.equal('hi');
  });

  it('does not take a socket from a process that answers', async () => {
    const path = join(directory, 's');
    await listen(newServer(), { kind: 'unix', path }, access);
    const error = await failure(listen(newServer(), { kind: 'unix', path }, access));
    expect(error.message).to.contain('another process is listening');
    expect(await greeting(path)).to.equal('hi');
  });

  it('does not remove a file that is no socket', async () => {
    const path = join(directory, 's');
    writeFileSync(path, 'precious');
    const error = await failure(listen(newServer(), { kind: 'unix', path }, access));
    expect(error.message).to.contain('is not a socket');
    expect(statSync(path).size).to.equal(8);
  });

  it('does not follow a symbolic link to a socket', async () => {
    const path = join(directory, 's');
    symlinkSync(join(directory, 'elsewhere'), path);
    const error = await failure(listen(newServer(), { kind: 'unix', path }, access));
    expect(error.message).to.contain('is not a socket');
  });

  it('does not remove the socket of its successor', async () => {
    const path = join(directory, 's');
    const first = await listen(newServer(), { kind: 'unix', path }, access);
    rmSync(path);
    await listen(newServer(), { kind: 'unix', path }, access);
    await first.close();
    expect(await greeting(path)).to.equal('hi');
  });

  it('says so when the path is too long for a socket', async () => {
    const path = join(directory, 'x'.repeat(100));
    mkdirSync(path);
    const error = await failure(
      listen(newServer(), { kind: 'unix', path: join(path, 's') }, access),
    );
    expect(error.message).to.contain('too long');
  });

  it('says so when the directory is not there', async () => {
    const path = join(directory, 'no', 's');
    const error = await failure(listen(newServer(), { kind: 'unix', path }, access));
    expect(error.message).to.contain('ENOENT');
  });

  it('reports the port it got', async () => {
    const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
    const listening = await listen(newServer(), address, access);
    expect(listening.address).to.include({ kind: 'tcp', host: '127.0.0.1' });
    expect(listening.address).to.have.property('port').greaterThan(0);
    const error = await failure(listen(newServer(), listening.address, access));
    expect(error.message).to.contain('EADDRINUSE');
    await listening.close();
  });
});

async function failure(promise: Promise<unknown>): Promise<ListenError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ListenError) return error;
    throw error;
  }
  throw new Error('it listens');
}
