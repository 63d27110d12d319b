import { expect } from 'chai';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TokenFile } from '../../src/rpc/token-file.ts';

const first = 'first-token-0123456789';
const second = 'second-token-0123456789';

describe('TokenFile', () => {
  let directory: string;
  let path: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-token-'));
    path = join(directory, 'token');
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  for (const { name, content, holds } of [
    { name: 'a token without line end', content: first, holds: [first] },
    { name: 'a token with white space around it', content: ` ${first}\t\r\n`, holds: [first] },
    {
      name: 'two tokens, while one replaces the other',
      content: `${first}\n${second}\n`,
      holds: [first, second],
    },
    { name: 'a token after one that is too short', content: `short\n${second}`, holds: [second] },
  ]) {
    it(`reads ${name}`, () => {
      writeFileSync(path, content);
      const file = new TokenFile(path);
      expect([first, second].filter((token) => file.matches(token))).to.deep.equal(holds);
      expect(file.problem).to.equal(undefined);
    });
  }

  for (const token of [
    '',
    'first',
    first.slice(0, -1),
    `${first}x`,
    first.toUpperCase(),
    `${first}\n`,
  ]) {
    it(`does not take ${JSON.stringify(token)} for the token`, () => {
      writeFileSync(path, first);
      expect(new TokenFile(path).matches(token)).to.equal(false);
    });
  }

  it('takes up a new token and forgets the old one when the file is replaced', () => {
    writeFileSync(path, first);
    const file = new TokenFile(path);
    writeFileSync(`${path}.new`, second);
    renameSync(`${path}.new`, path);
    expect(file.matches(second)).to.equal(true);
    expect(file.matches(first)).to.equal(false);
  });

  it('holds no token while the file is missing, and says so', () => {
    const file = new TokenFile(path);
    expect(file.matches(first)).to.equal(false);
    expect(file.problem).to.contain('ENOENT');
    writeFileSync(path, first);
    expect(file.matches(first)).to.equal(true);
    expect(file.problem).to.equal(undefined);
    rmSync(path);
    expect(file.matches(first)).to.equal(false);
  });

  for (const { name, content } of [
    { name: 'empty', content: '' },
    { name: 'guessable', content: 'secret\n' },
    { name: 'huge', content: `${first}\n`.repeat(10_000) },
  ]) {
    it(`holds no token when the file is ${name}, and says so`, () => {
      writeFileSync(path, content);
      const file = new TokenFile(path);
      expect(file.matches(content.split('\n')[0]!)).to.equal(false);
      expect(file.problem).to.contain('holds no token');
    });
  }
});
