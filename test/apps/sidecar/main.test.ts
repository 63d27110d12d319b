import { expect } from 'chai';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createTestCa, writeIdentity } from '../../support/test-ca.ts';
import { typescriptOptions } from '../../support/typescript.ts';

const main = fileURLToPath(new URL('../../../src/apps/sidecar/main.ts', import.meta.url));

describe('runSidecar, as a process', function () {
  // Each test starts one or two processes from source.
  this.timeout(60_000);
  let directory: string;
  let config: string;
  const children: ChildProcess[] = [];

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-main-'));
    const ca = createTestCa();
    writeIdentity(directory, 'web', ca.issue({ dnsNames: ['web.example.org'] }));
    writeFileSync(join(directory, 'roots.pem'), ca.pem);
    config = join(directory, 'c.yaml');
    writeFileSync(
      config,
      'listen: [{ address: "unix:./s" }]\nidentities: { web: { certificate: web.pem, privateKey: web.key } }\ntrust: { bundle: roots.pem }\n',
    );
  });

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  function run(options: { check?: boolean; environment?: Record<string, string> } = {}) {
    const call = JSON.stringify({ configPath: config, check: options.check ?? false });
    const child = spawn(
      process.execPath,
      [
        ...typescriptOptions,
        '--input-type=module',
        '-e',
        `import { runSidecar } from ${JSON.stringify(main)}; process.exitCode = await runSidecar(${call});`,
      ],
      {
        env: { PATH: process.env['PATH'] ?? '', ...options.environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    children.push(child);
    const output = { stdout: '', stderr: '' };
    let onLine: (() => void) | undefined;
    child.stdout.on('data', (text: Buffer) => {
      output.stdout += text.toString();
      onLine?.();
    });
    child.stderr.on('data', (text: Buffer) => (output.stderr += text.toString()));
    const exited = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    const said = async (text: string): Promise<void> => {
      while (!output.stdout.includes(text)) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`it ended: ${output.stderr}`);
        await new Promise<void>((resolve) => {
          onLine = resolve;
          child.once('exit', () => {
            resolve();
          });
        });
      }
    };
    return { child, output, exited, said };
  }

  it('serves until SIGTERM, ends with 0 and takes its socket away', async () => {
    const { child, exited, said, output } = run();
    await said('sidecar started');
    const socket = connect({ path: join(directory, 's') });
    await once(socket, 'connect');
    child.kill('SIGTERM');
    expect(await exited).to.deep.equal([0, null]);
    expect(output.stdout).to.contain('sidecar stopped');
    expect(() => readFileSync(join(directory, 's'))).to.throw('ENOENT');
  });

  it('does not open the inspector on SIGUSR1', async () => {
    const { child, exited, said, output } = run();
    await said('sidecar started');
    child.kill('SIGUSR1');
    child.kill('SIGHUP');
    await said('reload asked for');
    child.kill('SIGTERM');
    await exited;
    expect(output.stderr).to.not.contain('Debugger');
  });

  it('takes over the socket of one that was killed', async () => {
    const first = run();
    await first.said('sidecar started');
    first.child.kill('SIGKILL');
    await first.exited;
    const second = run();
    await second.said('sidecar started');
  });

  it('does not take over the socket of one that lives', async () => {
    const first = run();
    await first.said('sidecar started');
    const second = run();
    expect(await second.exited).to.deep.equal([1, null]);
    expect(second.output.stderr).to.contain('another process is listening');
  });

  it('refuses a dangerous environment, naming all of it', async () => {
    const { exited, output } = run({
      environment: { SSLKEYLOGFILE: '/f', NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    });
    expect(await exited).to.deep.equal([1, null]);
    expect(output.stderr).to.contain('SSLKEYLOGFILE').and.contain('NODE_TLS_REJECT_UNAUTHORIZED');
  });

  it('checks a configuration, files included', async () => {
    const good = run({ check: true });
    expect(await good.exited).to.deep.equal([0, null]);
    expect(good.output.stdout).to.contain('ok');
    rmSync(join(directory, 'web.key'));
    const bad = run({ check: true });
    expect(await bad.exited).to.deep.equal([1, null]);
    expect(bad.output.stderr).to.contain('web.key');
  });

  it('says what is wrong when the configuration is not there', async () => {
    rmSync(config);
    const { exited, output } = run();
    expect(await exited).to.deep.equal([1, null]);
    expect(output.stderr).to.contain('c.yaml').and.contain('ENOENT');
  });
});
