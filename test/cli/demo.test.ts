import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import { BuiltCommand, needsBuild } from './built-command.ts';

async function leftovers(): Promise<readonly string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('sidekey-demo-'));
}

describe('sidekey demo', function () {
  this.timeout(240_000);

  before(function () {
    needsBuild(this);
  });

  it('shows every step with nothing but Node, and tidies up', async () => {
    const demo = new BuiltCommand(['demo', '--stock-peer', 'node']);
    const [, directory = ''] = await demo.says(/directory +(\S+)/);
    const { code, out, err } = await demo.finished;
    expect(code, `${out}${err}`).to.equal(0);
    const results = [...out.matchAll(/^(\d+) +.* (ok|FAILED|skipped)$/gm)].map((row) => row[2]);
    expect(results).to.have.length(16);
    expect(results).not.to.include('FAILED');
    expect(out).to.match(/its connection +closed \d+ ms after the authority was asked/);
    expect(await leftovers()).not.to.include(directory.split('/').at(-1));
  });

  it('ends with 1 and tidies up when it is interrupted', async () => {
    const demo = new BuiltCommand(['demo', '--stock-peer', 'node']);
    const [, directory = ''] = await demo.says(/directory +(\S+)/);
    const [, pid = ''] = await demo.says(/sidecar of till +process (\d+)/);
    const { code, err } = await demo.stop('SIGINT');
    expect(code).to.equal(1);
    expect(err).to.contain('interrupted');
    expect(() => process.kill(Number(pid), 0)).to.throw(/ESRCH/);
    expect(await leftovers()).not.to.include(directory.split('/').at(-1));
  });
});
