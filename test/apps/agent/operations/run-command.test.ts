import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { killLeftBehind } from '../../../../src/apps/agent/operations/process-mark.ts';
import { RunningCommand } from '../../../../src/apps/agent/operations/run-command.ts';

const shell = (script: string, more: { readonly timeoutMs?: number } = {}) =>
  new RunningCommand({
    command: ['/bin/sh', '-c', script],
    timeoutMs: 20_000,
    maxOutputBytes: 1000,
    environment: { SIDEKEY_OPERATION: 'test' },
    ...more,
  });

/** Whether a process runs: nobody may have asked what became of one that has ended. */
function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /u.test(readFileSync(`/proc/${String(pid)}/stat`, 'latin1'));
  } catch {
    // It is gone.
    return false;
  }
}

describe('a command an agent runs', () => {
  it('tells how it ended, and what it printed both ways', async () => {
    const { output, ...outcome } = await shell('echo out; echo err >&2; exit 3').outcome;
    expect(outcome).to.deep.equal({ exitCode: 3, problem: undefined });
    expect(output.split('\n').sort()).to.deep.equal(['', 'err', 'out']);
  });

  it('has nothing of our environment', async () => {
    process.env['SIDEKEY_TEST_SECRET'] = 'canary';
    const { output } = await shell('env; pwd').outcome;
    delete process.env['SIDEKEY_TEST_SECRET'];
    const lines = output.trim().split('\n');
    const names = lines.slice(0, -1).map((line) => line.split('=')[0]);
    // The shell sets PWD and counts itself.
    expect(
      names.filter((name) => name !== 'PWD' && name !== '_' && name !== 'SHLVL').sort(),
    ).to.deep.equal(['LANG', 'PATH', 'SIDEKEY_OPERATION']);
    expect(lines.at(-1)).to.equal('/');
  });

  it('keeps the end of what it printed', async () => {
    const { output } = await shell('head -c 100000 /dev/zero | tr "\\0" a; echo end').outcome;
    expect(output).to.have.length(1000);
    expect(output.endsWith('a\nend') || output.endsWith('aend\n')).to.equal(true);
  });

  it('tells how far it is on descriptor 3, and nothing else there', async () => {
    const told: number[] = [];
    const { exitCode } = await new RunningCommand({
      command: ['/bin/sh', '-c', 'for x in 0.25 2 none -1 0.5; do echo $x >&3; sleep 0.01; done'],
      timeoutMs: 20_000,
      maxOutputBytes: 1000,
      onProgress: (progress) => told.push(progress),
    }).outcome;
    expect(exitCode).to.equal(0);
    expect(told.at(-1)).to.equal(0.5);
    expect(told.every((one) => one === 0.25 || one === 0.5)).to.equal(true);
  });

  const impossible: readonly (readonly [string, readonly [string, ...string[]], RegExp])[] = [
    ['there is no such program', ['/no/such/program'], /^cannot be run: .*ENOENT/u],
    ['it is no program', ['/etc/passwd'], /^cannot be run: .*EACCES/u],
    ['an argument is too long', ['/bin/echo', 'x'.repeat(200_000)], /^cannot be run: .*E2BIG/u],
    ['an argument has a NUL', ['/bin/echo', 'a\0b'], /^cannot be run: /u],
  ];
  for (const [name, command, problem] of impossible) {
    it(`has a problem, and no exit code, when ${name}`, async () => {
      const running = new RunningCommand({ command, timeoutMs: 1000, maxOutputBytes: 1000 });
      const outcome = await running.outcome;
      expect(outcome.exitCode).to.equal(undefined);
      expect(outcome.problem).to.match(problem);
      expect(running.mark).to.equal(undefined);
      running.stop('for nothing');
    });
  }

  it('takes all it started with it at its time limit', async () => {
    const running = shell('sleep 60 & echo $!; wait', { timeoutMs: 200 });
    const { output, problem } = await running.outcome;
    expect(problem).to.equal('took longer than 200 ms');
    expect(isRunning(Number(output))).to.equal(false);
  });

  it('does not wait for ever for somebody who holds its output open', async () => {
    const began = performance.now();
    const { output, exitCode } = await shell('setsid sleep 60 & echo $!').outcome;
    expect(exitCode).to.equal(0);
    expect(performance.now() - began).to.be.below(10_000);
    process.kill(Number(output), 'SIGKILL');
  });

  it('that was left behind is killed if it is the same, and nobody else is', async () => {
    const running = shell('sleep 60');
    const mark = running.mark!;
    killLeftBehind({ ...mark, startTicks: '1' });
    expect(isRunning(mark.pid)).to.equal(true);
    killLeftBehind(mark);
    expect((await running.outcome).problem).to.equal('ended by SIGKILL');
    killLeftBehind(mark);
  });
});
