import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type Mutation, mutations } from './mutations.ts';

/**
 * Takes one check after the other out of a copy of the engine and runs the suites that should
 * notice: `node --import ./test/support/typescript.mjs test/mutations/main.ts [--only PART-OF-NAME]`. Prints which tests did.
 * Fails if a mutation passes unnoticed, or if something fails without one.
 */
function main(): void {
  const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });
  const chosen = mutations.filter(({ name }) => name.includes(values.only));
  const copy = mkdtempSync(path.join(tmpdir(), 'sidekey-mutations-'));
  try {
    for (const part of ['src', 'test', 'proto', 'doc', 'package.json', 'tsconfig.json']) {
      cpSync(path.join(root, part), path.join(copy, part), { recursive: true });
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'));
    const suites = [...new Set(chosen.flatMap((mutation) => mutation.suites))];
    const broken = failuresOf(copy, suites);
    for (const { file, title } of broken) print(`fails without a mutation: ${file}: ${title}`);
    const rows = broken.length > 0 ? [] : chosen.map((mutation) => attempt(copy, mutation));
    const caught = rows.filter((isCaught) => isCaught).length;
    print(
      `mutations: ${String(caught)} passed, ${String(chosen.length - caught)} failed, 0 skipped`,
    );
    process.exitCode = caught === chosen.length && caught > 0 ? 0 : 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Whether a mutation is caught; prints its row. */
function attempt(copy: string, mutation: Mutation): boolean {
  const file = path.join(copy, mutation.file);
  const text = readFileSync(file, 'utf8');
  if (text.split(mutation.from).length !== 2) {
    throw new Error(`${mutation.name}: ${mutation.file} does not hold its text once`);
  }
  // A function: what is put in may hold "$".
  writeFileSync(
    file,
    text.replace(mutation.from, () => mutation.to),
  );
  const failures = failuresOf(copy, mutation.suites);
  writeFileSync(file, text);
  const files = new Map<string, number>();
  for (const failure of failures) files.set(failure.file, (files.get(failure.file) ?? 0) + 1);
  const by = [...files].map(([name, count]) => `${name} (${String(count)})`).join(', ');
  print(`${mutation.name.padEnd(48)} ${by === '' ? 'NOT CAUGHT' : by}`);
  return failures.length > 0;
}

interface Failure {
  readonly file: string;
  readonly title: string;
}

function failuresOf(directory: string, suites: readonly string[]): readonly Failure[] {
  const report = path.join(directory, 'report.json');
  rmSync(report, { force: true });
  // Without its settings in package.json, for which mocha would start a process of its own.
  const mocha = path.join(root, 'node_modules/mocha/lib/cli/cli.js');
  const { stderr, signal } = spawnSync(
    process.execPath,
    [
      ...['--import', './test/support/typescript.mjs', '--no-warnings', mocha],
      ...['--no-package', '--no-config', '--exit'],
      ...['--timeout', '60000', '--reporter', reporter],
      ...suites,
    ],
    {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, MUTATIONS_REPORT: report },
      timeout: suiteTimeoutMs,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  // An engine that waits for ever is one that was noticed.
  if (signal !== null) return [{ file: 'a suite', title: 'does not end' }];
  let text: string;
  try {
    text = readFileSync(report, 'utf8');
  } catch (cause) {
    throw new Error(`mocha did not run: ${stderr}`, { cause });
  }
  const failures = JSON.parse(text) as readonly Failure[];
  return failures.map(({ file, title }) => ({ file: path.relative(directory, file), title }));
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const reporter = path.join(import.meta.dirname, 'reporter.mjs');
const root = path.join(import.meta.dirname, '../..');
const suiteTimeoutMs = 600_000;

main();
