import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { skip } from '../../support/skip.ts';
import { typescriptOptions } from '../../support/typescript.ts';

const room = fileURLToPath(new URL('../../../src/apps/sidecar/undumpable.ts', import.meta.url));

/** Asks the kernel before and after; 1 is the usual, 0 is undumpable. */
const program = `
import { createRequire } from 'node:module';
import { makeUndumpable } from ${JSON.stringify(room)};
const koffi = createRequire(${JSON.stringify(room)})('koffi');
const prctl = koffi.load(null).func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)');
const before = prctl(3, 0, 0, 0, 0);
const done = makeUndumpable();
console.log(JSON.stringify({ before, done, after: prctl(3, 0, 0, 0, 0) }));
`;

describe('makeUndumpable', () => {
  it('keeps the memory of the process from cores and from its own user', async function () {
    if (process.platform !== 'linux') {
      skip(this, 'only Linux has prctl');
    }
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...[...typescriptOptions, '--input-type=module', '-e', program],
    ]);
    expect(JSON.parse(stdout)).to.deep.equal({ before: 1, done: true, after: 0 });
  });
});
