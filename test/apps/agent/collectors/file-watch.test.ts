import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { FileWatch } from '../../../../src/apps/agent/collectors/file-watch.ts';
import { isBelow } from '../../../../src/apps/agent/collectors/watched-paths.ts';
import { StateDirectory } from '../../../../src/identity/index.ts';
import { stillSurroundings } from '../support/surroundings.ts';

describe('watched files', () => {
  let root: string;
  let directory: StateDirectory;
  let watch: FileWatch;
  let told: string[];
  let pauses: number;

  beforeEach(async () => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'sidekey-watched-')));
    mkdirSync(at('watched'));
    writeFileSync(at('watched/a'), 'content of a');
    directory = await StateDirectory.open(at('state'));
    told = [];
    pauses = 0;
    watch = begin();
  });

  afterEach(async () => {
    await watch.close();
    await directory.close();
    rmSync(root, { recursive: true, force: true });
  });

  function at(name: string): string {
    return join(root, name);
  }

  function begin({ maxFileBytes = 1000, bytesPerSecond = 1e9 } = {}): FileWatch {
    return new FileWatch({
      directory,
      allow: [at('watched')],
      limits: { maxFileBytes, bytesPerSecond },
      events: { add: (kind, message) => told.push(`${kind} ${message.replace(`${root}/`, '')}`) },
      surroundings: {
        ...stillSurroundings(),
        timers: {
          after: (ms, callback) => {
            // Pauses between pieces of a file; intervals between looks do not end here.
            if (ms < 60_000) {
              pauses += 1;
              setImmediate(callback);
            }
            return () => undefined;
          },
        },
      },
    });
  }

  /** What is known after a look, by path below the root. */
  async function look(
    order: { readonly files?: readonly string[]; readonly generation?: string } = {},
  ): Promise<Record<string, string>> {
    const { files = ['watched'], generation = '1' } = order;
    watch.watch({ files: files.map(at), intervalSeconds: 300, generation });
    await watch.scan();
    return Object.fromEntries(
      watch.files.map(({ path, state }) => [path.slice(root.length + 1), state]),
    );
  }

  it('are told by their content, size, mode and time', async () => {
    chmodSync(at('watched/a'), 0o640);
    await look();
    const [file] = watch.files;
    expect(file).to.include({
      path: at('watched/a'),
      state: 'ok',
      sha256: createHash('sha256').update('content of a').digest('hex'),
      sizeBytes: 12,
      mode: '0640',
    });
    expect(new Date(file!.modifiedAt!).getTime()).to.be.closeTo(Date.now(), 60_000);
    expect(told).to.deep.equal([]);
  });

  it('that change, appear, vanish and come back are told of once each', async () => {
    mkdirSync(at('watched/below'));
    writeFileSync(at('watched/below/b'), 'b');
    await look();
    const changes: readonly (readonly [() => void, string])[] = [
      [
        () => {
          appendFileSync(at('watched/a'), '!');
        },
        'watched/a is changed',
      ],
      [
        () => {
          chmodSync(at('watched/below/b'), 0o777);
        },
        'watched/below/b is changed',
      ],
      [
        () => {
          writeFileSync(at('watched/new'), '');
        },
        'watched/new is new',
      ],
      [
        () => {
          rmSync(at('watched/below'), { recursive: true });
        },
        'watched/below/b is missing',
      ],
      [
        () => {
          writeFileSync(at('watched/a'), 'content of a');
        },
        'watched/a is ok',
      ],
    ];
    for (const [change, said] of changes) {
      told.length = 0;
      change();
      await watch.scan();
      await watch.scan();
      expect(told).to.deep.equal([`file_changed ${said}`]);
    }
  });

  it('that changed while the agent was away are found', async () => {
    await look();
    await watch.close();
    writeFileSync(at('watched/a'), 'something else');
    watch = begin();
    expect(await look()).to.deep.equal({ 'watched/a': 'changed' });
    // With another order, files are as they should be however they are found.
    expect(await look({ generation: '2' })).to.deep.equal({ 'watched/a': 'ok' });
  });

  it('are not looked at through links, nor where links lead', async () => {
    writeFileSync(at('secret'), 'not for managers');
    symlinkSync(at('secret'), at('watched/link'));
    mkdirSync(at('elsewhere'));
    writeFileSync(at('elsewhere/a'), 'not for managers either');
    symlinkSync(at('elsewhere'), at('watched/directory'));
    expect(await look()).to.deep.equal({
      'watched/a': 'ok',
      'watched/link': 'unreadable',
      'watched/directory': 'unreadable',
    });
    expect(watch.files.filter(({ sha256 }) => sha256 !== undefined)).to.have.length(1);
    // One of the directories of a path itself.
    await look({ files: ['watched/directory/a'], generation: '2' });
    expect(watch.files).to.deep.equal([]);
    expect(watch.problems[0]).to.include('which is not allowed');
  });

  it('that were known are not read through a link put in the place of their directory', async () => {
    mkdirSync(at('watched/below'));
    writeFileSync(at('watched/below/b'), 'b');
    await look();
    mkdirSync(at('elsewhere'));
    writeFileSync(at('elsewhere/b'), 'not for managers');
    rmSync(at('watched/below'), { recursive: true });
    symlinkSync(at('elsewhere'), at('watched/below'));
    expect(await look()).to.include({ 'watched/below/b': 'unreadable' });
    const stolen = createHash('sha256').update('not for managers').digest('hex');
    expect(readFileSync(at('state/files.json'), 'utf8')).to.not.include(stolen);
  });

  it('are regular files: others are neither waited for nor read', async () => {
    execFileSync('mkfifo', [at('watched/pipe')]);
    expect(await look()).to.deep.equal({ 'watched/a': 'ok', 'watched/pipe': 'unreadable' });
  });

  it('that are missing or too long are told as such', async () => {
    writeFileSync(at('watched/long'), Buffer.alloc(1001));
    const states = await look({ files: ['watched/long', 'watched/none', 'watched/a/b'] });
    expect(states).to.deep.equal({
      'watched/long': 'unreadable',
      'watched/none': 'missing',
      'watched/a/b': 'missing',
    });
  });

  it('that vanish while they are looked at are missing', async () => {
    watch = begin({ maxFileBytes: 1e9, bytesPerSecond: 100_000 });
    writeFileSync(at('watched/b'), 'b');
    writeFileSync(at('watched/0'), Buffer.alloc(600_000));
    watch.watch({ files: [at('watched')], intervalSeconds: 300, generation: '1' });
    const scanned = watch.scan();
    while (pauses === 0) await new Promise((resolve) => setImmediate(resolve));
    rmSync(at('watched/b'));
    renameSync(at('watched/a'), at('watched/c'));
    await scanned;
    const states = watch.files.map(({ path, state }) => `${path.slice(root.length + 9)} ${state}`);
    expect(states).to.include.members(['0 ok', 'b missing', 'a missing']);
    // A piece of the file costs a pause.
    expect(pauses).to.be.least(3);
  });

  it('that cannot be read are told as such', async function () {
    // Whoever is root reads everything.
    if (process.getuid?.() === 0) {
      const script = `
        import { FileDigester } from ${JSON.stringify(join(import.meta.dirname, '../../../../src/apps/agent/collectors/file-digest.ts'))};
        process.setgid(65534); process.setuid(65534);
        const digester = new FileDigester({ maxFileBytes: 10, bytesPerSecond: 10 }, undefined, new AbortController().signal);
        await digester.digest(${JSON.stringify(at('watched/a'))}).catch(({ code }) => console.log(code));`;
      chmodSync(root, 0o755);
      chmodSync(at('watched'), 0o755);
      chmodSync(at('watched/a'), 0o600);
      const loader = join(import.meta.dirname, '../../../support/typescript.mjs');
      const options = ['--import', loader, '--input-type=module', '-e', script];
      expect(execFileSync(process.execPath, options, { encoding: 'utf8' })).to.equal('EACCES\n');
      return;
    }
    chmodSync(at('watched/a'), 0);
    expect(await look()).to.deep.equal({ 'watched/a': 'unreadable' });
  });

  it('go on being watched when what is known of them is damaged, which is told', async () => {
    await look();
    await watch.close();
    writeFileSync(at('state/files.json'), '{"generation":');
    watch = begin();
    expect(await look()).to.deep.equal({ 'watched/a': 'ok' });
    expect(told).to.deep.equal(['problem what is known of watched files was lost']);
  });
});

describe('paths allowed to be watched', () => {
  const cases: readonly (readonly [path: string, allowed: readonly string[], is: boolean])[] = [
    ['/etc/a', ['/etc'], true],
    ['/etc', ['/etc/'], true],
    ['/etcetera', ['/etc'], false],
    ['/etc/../root', ['/etc'], false],
    ['/etc/./a', ['/etc'], false],
    ['/etc//a', ['/etc'], false],
    ['/etc/', ['/etc'], false],
    ['etc/a', ['/etc'], false],
    ['/etc/a\0b', ['/etc'], false],
    ['/anything', ['/'], true],
    ['/', ['/'], true],
    ['/', ['/etc'], false],
    ['/etc', [], false],
  ];
  for (const [path, allowed, is] of cases) {
    it(`${is ? 'have' : 'do not have'} ${JSON.stringify(path)} below ${allowed.join() || 'nothing'}`, () => {
      expect(isBelow(path, allowed)).to.equal(is);
    });
  }
});
