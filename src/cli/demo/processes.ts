import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { StepFailedError } from './story.ts';

/** A process of the demo, with the end of what it printed, for when something goes wrong. */
export interface DemoProcess {
  readonly name: string;
  readonly child: ChildProcess;
  readonly pid: number;
  /** Last lines of standard output and error. */
  readonly lastOutput: () => string;
  /** All of standard output so far, up to a limit. */
  readonly output: () => string;
}

/** Every process the demo started; `killAll` leaves none behind. */
export class ProcessGroup {
  readonly #processes = new Set<DemoProcess>();
  #closed = false;

  /** Starts `sidekey` itself with other arguments; `within`: as arguments of this command. */
  startSidekey(name: string, args: readonly string[], within: readonly string[] = []): DemoProcess {
    const [program = '', ...rest] = [
      ...within,
      process.execPath,
      ...process.execArgv,
      modulePath('../main'),
      ...args,
    ];
    return this.start(name, program, rest);
  }

  /**
   * Runs `sidekey` to its end and answers what it printed.
   *
   * @throws StepFailedError if it does not succeed
   */
  async runSidekey(name: string, args: readonly string[]): Promise<string> {
    const command = this.startSidekey(name, args);
    const code = await waitForEnd(command);
    if (code === 0) return command.output();
    throw new StepFailedError(
      `sidekey ${name} ended with ${String(code)}: ${command.lastOutput()}`,
    );
  }

  /** Starts one of the demo's modules. */
  startModule(name: string, module: string, args: readonly string[]): DemoProcess {
    return this.start(name, process.execPath, [...process.execArgv, modulePath(module), ...args]);
  }

  /** Starts any program. Its environment is ours without what could change its behaviour. */
  start(name: string, program: string, args: readonly string[]): DemoProcess {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: plainEnvironment(),
    });
    return this.#keep(name, child);
  }

  /** Starts one of the demo's applications, with a channel for `ask`. */
  startApplication(name: string, module: string, settings: object): DemoProcess {
    const child = fork(modulePath(module), [JSON.stringify(settings)], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: plainEnvironment(),
    });
    return this.#keep(name, child);
  }

  /** SIGKILL: nothing gets the chance to tidy up. Settles when the process is gone. */
  async kill(victim: DemoProcess): Promise<void> {
    this.#processes.delete(victim);
    const { child } = victim;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Kills what runs, and lets nothing be started any more. */
  async killAll(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#processes].map((victim) => this.kill(victim)));
  }

  #keep(name: string, child: ChildProcess): DemoProcess {
    if (this.#closed) {
      child.kill('SIGKILL');
      throw new StepFailedError(`${name} was not started: the demo is over`);
    }
    let output = '';
    let errors = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-maxKeptOutput);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-maxKeptOutput);
    });
    child.stdin?.on('error', () => undefined);
    if (child.pid === undefined) throw new StepFailedError(`${name} could not be started`);
    const started: DemoProcess = {
      name,
      child,
      pid: child.pid,
      output: () => output,
      lastOutput: () => `${output}${errors}`.trimEnd().split('\n').slice(-8).join('\n'),
    };
    this.#processes.add(started);
    return started;
  }
}

/**
 * Settles with the first match of `pattern` in what the process prints.
 *
 * @throws StepFailedError if the process ends or the time is up before
 */
export function waitForOutput(subject: DemoProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return patiently(subject, (resolve) => {
    const look = (): void => {
      const match = pattern.exec(subject.output());
      if (match !== null) resolve(match);
    };
    subject.child.stdout?.on('data', look);
    queueMicrotask(look);
    return () => subject.child.stdout?.off('data', look);
  });
}

/**
 * Settles with the exit code of a process that ends by itself, its output complete.
 *
 * @throws StepFailedError if the time is up before
 */
export function waitForEnd(subject: DemoProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(
        new StepFailedError(`${subject.name} does not end; it said:\n${subject.lastOutput()}`),
      );
    }, patienceMs);
    subject.child.once('close', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
  });
}

/**
 * Sends an application a request and settles with its answer.
 *
 * @throws StepFailedError if the application answers with an error, ends, or is silent too long
 */
export async function ask(application: DemoProcess, request: object): Promise<unknown> {
  const answer = await patiently<unknown>(application, (resolve) => {
    application.child.once('message', resolve);
    application.child.send(request);
    return () => application.child.off('message', resolve);
  });
  if (typeof answer === 'object' && answer !== null && 'error' in answer) {
    throw new StepFailedError(`${application.name}: ${String(answer.error)}`);
  }
  return answer;
}

/** Waits for what `begin` resolves; what `begin` returns is called at the end. */
function patiently<Result>(
  subject: DemoProcess,
  begin: (resolve: (result: Result) => void) => () => void,
): Promise<Result> {
  const { child, name } = subject;
  return new Promise<Result>((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer);
      reject(new StepFailedError(`${name} ${what}; it said:\n${subject.lastOutput()}`));
    };
    const ended = (): void => {
      fail('ended');
    };
    const timer = setTimeout(() => {
      fail('has not answered in time');
    }, patienceMs);
    const finish = begin((result) => {
      clearTimeout(timer);
      child.off('close', ended);
      finish();
      resolve(result);
    });
    child.once('close', ended);
  });
}

/** The demo runs from source and built: its modules end as this one does. */
function modulePath(module: string): string {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return fileURLToPath(new URL(`${module}${extension}`, import.meta.url));
}

function plainEnvironment(): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const name of ['PATH', 'LANG', 'TMPDIR', 'SYSTEMROOT']) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

const maxKeptOutput = 256 * 1024;
const patienceMs = 15_000;
