import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Runs BoringSSL's protocol tests: `main.ts RUNNER [--update] [-test GLOB]`. The runner is a program
 * somebody built from BoringSSL's `ssl/test/runner`; see doc/assurance.md. Prints one summary line,
 * and fails when a test fails or when one that is known to pass no longer does.
 */
async function main(argv: readonly string[]): Promise<number> {
  const [runner, ...options] = argv;
  if (runner === undefined || runner === '') {
    process.stderr.write('usage: make bogo RUNNER=/path/to/runner\n');
    return 2;
  }
  const directory = mkdtempSync(join(tmpdir(), 'sidekey-bogo-'));
  try {
    const results = await run(resolve(runner), directory, options);
    return judge(results, options);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function run(
  runner: string,
  directory: string,
  options: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const shim = join(directory, 'shim');
  writeFileSync(
    shim,
    `#!/bin/sh\nexec "${process.execPath}" --no-warnings "${compiledShim}" "$@"\n`,
    {
      mode: 0o700,
    },
  );
  const configFile = join(directory, 'config.json');
  writeFileSync(configFile, JSON.stringify(configuration()));
  const report = join(directory, 'report.json');
  const child = spawn(
    runner,
    [
      ...['-shim-path', shim, '-shim-config', configFile, '-json-output', report],
      ...['-pipe', '-allow-unimplemented', '-num-workers', String(availableParallelism())],
      ...options.filter((option) => option !== '--update'),
    ],
    { cwd: directory, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  child.stdout.setEncoding('utf8');
  let log = '';
  child.stdout.on('data', (text: string) => (log += text));
  await once(child, 'close');
  const failures = log.split(/\n(?=(?:PASSED|FAILED|UNIMPLEMENTED) \()/).filter(isFailure);
  for (const failure of failures) print(failure);
  const { tests } = JSON.parse(readFileSync(report, 'utf8')) as {
    tests: Record<string, { actual: string }>;
  };
  return new Map(Object.entries(tests).map(([name, { actual }]) => [name, actual]));
}

/** What is not run, and which token of ours means which of the runner's. */
function configuration(): RunnerConfiguration {
  const read = (name: string): RunnerConfiguration =>
    JSON.parse(readFileSync(join(here, name), 'utf8')) as RunnerConfiguration;
  const whole = read('config.json');
  if (!viaSidecar) return whole;
  const { DisabledTests } = read('config-sidecar.json');
  return { ...whole, DisabledTests: { ...whole.DisabledTests, ...DisabledTests } };
}

interface RunnerConfiguration {
  readonly DisabledTests: Readonly<Record<string, string>>;
}

function judge(results: ReadonlyMap<string, string>, options: readonly string[]): number {
  const of = (outcome: string): string[] =>
    [...results].filter(([, actual]) => actual === outcome).map(([name]) => name);
  const passed = of('PASS');
  const failed = of('FAIL');
  if (options.includes('--update')) writeFileSync(keptFile, `${passed.sort().join('\n')}\n`);
  const kept = readFileSync(keptFile, 'utf8').split('\n').filter(Boolean);
  const lost = kept.filter((name) => results.has(name) && results.get(name) !== 'PASS');
  for (const name of lost) print(`no longer passes: ${name}`);
  const skipped = results.size - passed.length - failed.length;
  print(
    `bogo${viaSidecar ? ' via sidecar' : ''}: ${String(passed.length)} passed, ${String(failed.length)} failed, ${String(skipped)} skipped`,
  );
  return failed.length === 0 && lost.length === 0 && passed.length > 0 ? 0 : 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function isFailure(block: string): boolean {
  return block.startsWith('FAILED (');
}

const here = fileURLToPath(new URL('.', import.meta.url));
const viaSidecar = process.env['VIA'] === 'sidecar';
const keptFile = join(here, viaSidecar ? 'passing-sidecar.txt' : 'passing.txt');
const compiledShim = resolve(here, '../../.stamps/bogo/test/bogo/shim.js');

process.exitCode = await main(process.argv.slice(2));
