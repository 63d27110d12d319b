import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPeerCredentialsReader } from '../../src/rpc/peer-credentials.ts';
import { skip } from '../support/skip.ts';

describe('createPeerCredentialsReader (unix(7), SO_PEERCRED)', () => {
  let directory: string;

  before(function () {
    if (process.platform !== 'linux') {
      skip(this, 'only Linux has SO_PEERCRED');
    }
    directory = mkdtempSync(join(tmpdir(), 'sidekey-peercred-'));
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('tells who connected', async () => {
    const read = createPeerCredentialsReader();
    const server = createServer().listen(join(directory, 'own'));
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect({ path: join(directory, 'own') });
    const [socket] = await accepted;
    expect(read(socket)).to.deep.equal({
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      pid: process.pid,
    });
    client.destroy();
    socket.destroy();
    server.close();
  });

  it('tells a foreign user from our own', async function () {
    if (process.getuid?.() !== 0) {
      skip(this, 'only root can start a process as another user');
    }
    const read = createPeerCredentialsReader();
    const path = join(directory, 'foreign');
    const server = createServer().listen(path);
    await once(server, 'listening');
    chmodSync(directory, 0o755);
    chmodSync(path, 0o666);
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const child = spawn(
      process.execPath,
      ['-e', `require('net').connect(${JSON.stringify(path)})`],
      {
        uid: 65_534,
        gid: 65_534,
        env: {},
      },
    );
    const [socket] = await accepted;
    expect(read(socket)).to.deep.equal({ uid: 65_534, gid: 65_534, pid: child.pid });
    child.kill();
    socket.destroy();
    server.close();
  });

  it('knows nobody where there is no descriptor', () => {
    const socket = new Socket();
    expect(createPeerCredentialsReader()(socket)).to.equal(undefined);
  });
});
