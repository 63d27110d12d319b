import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { BuiltCommand, needsBuild, sidekey } from '../../cli/built-command.ts';

describe('the agent as a program', function () {
  this.timeout(60_000);
  let directory: string;
  let file: string;
  const running: BuiltCommand[] = [];

  before(function () {
    needsBuild(this);
  });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-agent-process-'));
    file = join(directory, 'agent.yaml');
    writeFileSync(file, 'sidecar: "unix:./nobody.sock"\nlisten: 127.0.0.1:0\n');
  });

  afterEach(async () => {
    for (const one of running.splice(0)) await one.stop('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });

  async function start(): Promise<BuiltCommand> {
    const command = new BuiltCommand(['agent', '--config', file]);
    running.push(command);
    await command.says(/"msg":"listening"/u);
    return command;
  }

  const instance = (): string =>
    (
      JSON.parse(readFileSync(join(directory, 'state', 'agent.json'), 'utf8')) as {
        instanceId: string;
      }
    ).instanceId;

  it('says that a configuration is good, or everything that is wrong with it', async () => {
    const check = () => sidekey(['agent', '--check', '--config', file]);
    expect(await check()).to.deep.equal({ code: 0, out: `${file}: ok\n`, err: '' });
    writeFileSync(
      file,
      [
        'sidecar: unix:./s.sock',
        'mode: bidirectional',
        'bootstrap: agent',
        'reconnect: { least: 10s, first: 1s }',
        'apply: { command: [take-over] }',
      ].join('\n'),
    );
    const contradicting = await check();
    expect([contradicting.code, contradicting.out]).to.deep.equal([1, '']);
    const said = contradicting.err.trim().split('\n');
    for (const [index, pattern] of [
      /listen: needed when mode is bidirectional/u,
      /managers: needed when mode is bidirectional/u,
      /agent\.yaml:3: bootstrap: must be another identity/u,
      /agent\.yaml:4: reconnect: .*must not decrease/u,
      /agent\.yaml:5: apply\.command\[0\]: the program must be an absolute path/u,
    ].entries()) {
      expect(said[index]).to.match(pattern);
    }
    expect(said).to.have.length(5);
    writeFileSync(
      file,
      [
        'sidecar: unix:./s.sock',
        'listen: 127.0.0.1:99999',
        'managers: [nobody]',
        'operations:',
        '  run: { command: ["sh", "{x}"], arguments: { y: { pattern: "(" } } }',
        'extra: 1',
      ].join('\n'),
    );
    const { err } = await check();
    for (const pattern of [
      /agent\.yaml:2: listen: port is out of range/u,
      /agent\.yaml:3: managers\[0\]: expected HOST:PORT/u,
      /agent\.yaml:5: operations\.run\.arguments\.y\.pattern: is no regular expression/u,
      /agent\.yaml:6: unknown setting "extra"/u,
    ]) {
      expect(err).to.match(pattern);
    }
    rmSync(file);
    expect((await check()).err).to.include('ENOENT');
  });

  it('runs without its sidecar, and ends when told', async () => {
    const command = await start();
    const { code, out } = await command.stop();
    expect(code).to.equal(0);
    expect(out)
      .to.match(/"msg":"agent stopping"/u)
      .and.match(/"msg":"agent stopped"/u);
  });

  it('is who it was after it was killed', async () => {
    const command = await start();
    const before = instance();
    await command.stop('SIGKILL');
    await start();
    expect(instance()).to.equal(before);
  });

  it('leaves a state directory to whoever has it', async () => {
    await start();
    const second = await sidekey(['agent', '--config', file]);
    expect(second.code).to.equal(1);
    expect(second.err)
      .to.match(/is locked/u)
      .and.to.not.match(/\n {4}at /u);
  });

  it('does not begin anew on a damaged record, and says what to do', async () => {
    await (await start()).stop();
    writeFileSync(join(directory, 'state', 'agent.json'), '{"format":1');
    const { code, err } = await sidekey(['agent', '--config', file]);
    expect(code).to.equal(1);
    expect(err).to.match(/agent\.json is damaged; restore it, or remove it to begin anew/u);
  });
});
