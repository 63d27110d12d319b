import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { run } from '../../src/cli/program.ts';

async function runQuietly(
  argv: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(argv, {
    writeOut: (text) => (out += text),
    writeErr: (text) => (err += text),
  });
  return { code, out, err };
}

const badUsage = [
  { argv: [], says: 'Usage' },
  { argv: ['nonsense'], says: 'unknown command' },
  { argv: ['--nonsense'], says: 'unknown option' },
  { argv: ['sidecar'], says: '--config' },
  { argv: ['serve', '--sidecar', 'unix:/x'], says: '--listen' },
  { argv: ['serve', '--sidecar', 'unix:/x', '--listen', 'nowhere'], says: 'HOST:PORT' },
  {
    argv: ['serve', '--sidecar', 'x', '--listen', 'a:0', '--echo', '--www'],
    says: 'cannot be used',
  },
  {
    argv: ['serve', '--sidecar', 'x', '--listen', 'a:0', '--client-auth', 'maybe'],
    says: 'none, request, require',
  },
  { argv: ['connect', '--sidecar', 'unix:/x'], says: 'missing required argument' },
  { argv: ['connect', 'host:0', '--sidecar', 'unix:/x'], says: 'out of range' },
  {
    argv: ['connect', 'a:1', '--sidecar', 'x', '--anonymous', '--identity', 'web'],
    says: 'cannot be used',
  },
  { argv: ['connect', 'a:1', '--sidecar', 'x', '--times', '0'], says: 'whole number' },
  { argv: ['connect', 'a:1', '--sidecar', 'x', '--alpn', ','], says: 'protocol names' },
  { argv: ['identity'], says: 'Usage' },
  { argv: ['identity', 'new', '--name', '../x', '--out', '/x'], says: 'letters, digits' },
  {
    argv: ['identity', 'new', '--name', 'x', '--out', '/x', '--key-type', 'dsa'],
    says: 'rsa-2048',
  },
  {
    argv: ['identity', 'new', '--name', 'x', '--out', '/x', '--spiffe-id', 'https://x'],
    says: 'spiffe://',
  },
  { argv: ['identity', 'import', '--name', 'x', '--out', '/x'], says: '--pkcs12' },
  {
    argv: [
      'identity',
      'import',
      '--name',
      'x',
      '--out',
      '/x',
      '--pkcs12',
      'a',
      '--certificate',
      'b',
    ],
    says: 'cannot be used',
  },
  { argv: ['identity', 'list', '--sidecar', 'x', '--output', 'xml'], says: 'table, json' },
];

describe('command line', () => {
  for (const { argv, says } of badUsage) {
    it(`ends with 2 and says why: sidekey ${argv.join(' ')}`, async () => {
      const { code, err } = await runQuietly(argv);
      expect(code).to.equal(2);
      expect(err).to.contain(says);
    });
  }

  it('prints help and version when asked, and ends with 0', async () => {
    const help = await runQuietly(['--help']);
    expect(help.code).to.equal(0);
    for (const command of ['sidecar', 'serve', 'connect', 'identity', 'demo']) {
      expect(help.out).to.contain(command);
    }
    const { version } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    ) as { version: string };
    expect(await runQuietly(['--version'])).to.deep.equal({
      code: 0,
      out: `${version}\n`,
      err: '',
    });
  });

  describe('when a command fails', () => {
    let directory: string;

    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'sidekey-test-'));
    });

    after(() => rm(directory, { recursive: true, force: true }));

    it('ends with 1 and one line without a stack', async () => {
      const { code, err } = await runQuietly([
        ...['identity', 'import', '--name', 'x', '--out', directory],
        ...[
          '--certificate',
          join(directory, 'none.pem'),
          '--private-key',
          join(directory, 'none.key'),
        ],
      ]);
      expect(code).to.equal(1);
      expect(err).to.match(/^sidekey: ENOENT.*\n$/);
    });
  });
});
