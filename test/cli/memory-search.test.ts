import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { expect } from 'chai';
import { searchMemory, searchObstacle } from '../../src/cli/demo/memory-search.ts';
import { skip } from '../support/skip.ts';

// The secret is made by the child and comes back over a pipe, so that its bytes are in a place of
// its own choosing.
const keeper = `
  const secret = require('node:crypto').randomBytes(32);
  process.stdout.write(secret);
  process.stdin.on('data', () => process.stdout.write(secret.subarray(0, 1)));
`;

describe('search of another process’s memory', function () {
  let child: ChildProcess | undefined;
  let secret: Buffer;

  before(async function () {
    const obstacle = searchObstacle(process.pid);
    if (obstacle !== undefined) {
      skip(this, obstacle);
    }
    child = spawn(process.execPath, ['-e', keeper], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [chunk] = (await once(child.stdout!, 'data')) as [Buffer];
    secret = Buffer.from(chunk);
  });

  after(() => child?.kill('SIGKILL'));

  it('finds bytes the process holds and no others', () => {
    const patterns = [
      { name: 'held', bytes: secret },
      { name: 'reversed', bytes: Buffer.from(secret).reverse() },
      { name: 'foreign', bytes: randomBytes(32) },
    ];
    const result = searchMemory(child!.pid!, patterns);
    expect(result.found).to.deep.equal(['held']);
    expect(result.unreadableBytes).to.equal(0);
    expect(result.searchedBytes).to.be.greaterThan(10 * 1024 * 1024);
  });

  it('lets the process go on', async () => {
    searchMemory(child!.pid!, [{ name: 'x', bytes: secret }]);
    child!.stdin!.write('ping');
    const [answer] = (await once(child!.stdout!, 'data')) as [Buffer];
    expect(answer[0]).to.equal(secret[0]);
  });

  it('fails, rather than finding nothing, for a process that is not there', () => {
    expect(() => searchMemory(2 ** 22, [{ name: 'x', bytes: secret }])).to.throw(/ENOENT/);
  });
});
