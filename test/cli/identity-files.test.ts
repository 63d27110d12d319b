import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { identityPaths, writeNewFiles } from '../../src/cli/identity/files.ts';

describe('files of an identity', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sidekey-test-'));
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('have the mode asked for whatever the umask allows, in a directory closed to others', async () => {
    const paths = await identityPaths(join(directory, 'new'), 'web');
    await writeNewFiles([{ path: paths.key, content: Buffer.from('k'), mode: 0o600 }]);
    expect((await stat(paths.key)).mode & 0o777).to.equal(0o600);
    expect((await stat(join(directory, 'new'))).mode & 0o777).to.equal(0o700);
  });

  it('are written all or none, and never over an existing one', async () => {
    const paths = await identityPaths(directory, 'web');
    await writeFile(paths.request, 'precious');
    const failure = await writeNewFiles([
      { path: paths.key, content: Buffer.from('k'), mode: 0o600 },
      { path: paths.request, content: Buffer.from('r'), mode: 0o644 },
    ]).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.have.property('code', 'EEXIST');
    expect(await readdir(directory)).to.deep.equal(['web.csr']);
    expect(await readFile(paths.request, 'utf8')).to.equal('precious');
  });
});
