import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { needsBuild } from './built-command.ts';
import { tourCommands } from './tour.ts';

const clone = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/u, '');

describe('README.md, a fleet of two', () => {
  before(function () {
    needsBuild(this);
  });

  it('does what it says, word for word', async function () {
    this.timeout(180_000);
    const directory = await mkdtemp(join(tmpdir(), 'sidekey-tour-'));
    // A group of its own: whatever becomes of the shell, nothing it started is left.
    const shell = spawn('bash', ['-e', '-o', 'pipefail', '-c', tourCommands('A fleet of two')], {
      cwd: clone,
      env: { PATH: process.env['PATH'] ?? '', TMPDIR: directory },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    shell.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    shell.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    try {
      const [code] = (await once(shell, 'exit')) as [number | null];
      expect(code, said).to.equal(0);
    } finally {
      endGroup(shell.pid!);
      await rm(directory, { recursive: true, force: true });
    }
    expect(said).to.match(/enrolled as spiffe:\/\/tour\.example\/service\/\S+, until /u);
    for (const line of [
      'root 2 is prepared',
      'root 2 is published',
      'root 2 is signing',
      'root 1 is draining',
      'root 1 is retired',
      'root 1 is destroyed',
      'a new connection, below the new root',
      'refused',
    ]) {
      expect(said.split('\n'), line).to.include(line);
    }
    // Five each second from the first connection on: the rotation took some, and none was lost.
    expect(Number(/^(\d+) answers so far$/mu.exec(said)?.[1])).to.be.above(10);
    expect(Number(/^closed (\d+) ms after/mu.exec(said)?.[1])).to.be.below(10_000);
    expect(said).to.contain('ERR_OFFLOAD_PEER_REVOKED');
    expect(said).to.contain('reason identity_revoked');
    expect(said).to.match(/^\d+ entries, head [0-9a-f]{64}$/mu);
  });
});

function endGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    // Everything has ended by itself.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
