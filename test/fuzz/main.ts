import { parseArgs } from 'node:util';
import { corpusOf, fuzz, keep, type Report } from './campaign.ts';
import { targets } from './targets/index.ts';

/**
 * Fuzzes for a while: `node --import ./test/support/typescript.mjs test/fuzz/main.ts [seconds]
 * [--seed N] [--target NAME ...] [--keep]`. Every find is written to the corpus of its target, where a test tries it again; with
 * `--keep`, small inputs of a new kind are, too. Fails if anything was found.
 */
function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: 'string', default: '1' },
      target: { type: 'string', multiple: true },
      keep: { type: 'boolean', default: false },
    },
  });
  const seconds = Number(positionals[0] ?? process.env['SECONDS'] ?? 60);
  const seed = Number(values.seed);
  const chosen = targets.filter(({ name }) => values.target?.includes(name) ?? true);
  if (!(seconds > 0) || !Number.isInteger(seed) || chosen.length === 0) {
    throw new RangeError('seconds and seed are numbers, targets have to exist');
  }
  const reports: Report[] = [];
  for (const target of chosen) {
    const until = performance.now() + (seconds * 1000) / chosen.length;
    const report = fuzz(target, {
      seed,
      goOn: () => performance.now() < until,
      onNew(input) {
        if (values.keep && input.length <= maxKeptBytes && corpusOf(target).length < maxKeptFiles) {
          keep(target.name, 'kind', input);
        }
      },
      onFind({ message, input }) {
        print(`${target.name}: ${message}\n  kept as ${keep(target.name, 'find', input)}`);
      },
    });
    print(
      `${target.name.padEnd(22)} ${String(report.cases).padStart(9)} cases ` +
        `${String(report.kinds).padStart(5)} kinds ${String(report.finds.length).padStart(3)} finds`,
    );
    reports.push(report);
  }
  const cases = reports.reduce((sum, report) => sum + report.cases, 0);
  const finds = reports.reduce((sum, report) => sum + report.finds.length, 0);
  print(
    `seed ${String(seed)}, ${String(seconds)} s: ${String(cases)} cases, ${String(finds)} finds`,
  );
  print(`fuzz: ${String(cases - finds)} passed, ${String(finds)} failed, 0 skipped`);
  process.exitCode = finds === 0 ? 0 : 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The corpus is to stay small enough to be read and tried with every test run. */
const maxKeptBytes = 1024;
const maxKeptFiles = 40;

main();
