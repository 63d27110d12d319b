// Plain JavaScript: mocha loads it past the hooks that blank types out.
import Mocha from 'mocha';
import { relative } from 'node:path';
import process from 'node:process';

/**
 * A dot for each test, what failed in full, the slowest files, and at the end one line with what
 * passed, failed and was skipped, and under it the reasons that `skip` wrote beside the names.
 */
export default class SummaryReporter extends Mocha.reporters.Dot {
  #counts = { passed: 0, failed: 0, skipped: 0 };
  #reasons = new Map();
  #files = new Map();

  constructor(runner, options) {
    super(runner, options);
    const ended = (what, { file = 'an unknown file', duration = 0 }) => {
      this.#counts[what] += 1;
      add(this.#files, file, duration);
    };
    runner.on('pass', (test) => ended('passed', test));
    runner.on('fail', (test) => ended('failed', test));
    runner.on('pending', (test) => {
      ended('skipped', test);
      const reason = /\(skipped: (.*)\)$/s.exec(test.title)?.[1];
      add(this.#reasons, reason ?? `${nameOf(test.file)} gives no reason`, 1);
    });
  }

  done(failures, end) {
    for (const [file, ms] of mostFirst(this.#files).slice(0, slowestFiles)) {
      print(`${(ms / 1000).toFixed(1).padStart(8)} s in ${nameOf(file)}`);
    }
    const { passed, failed, skipped } = this.#counts;
    print(`\n  tests: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    for (const [reason, count] of mostFirst(this.#reasons)) print(`  ${count} skipped: ${reason}`);
    end?.(failures);
  }
}

function add(sums, key, value) {
  sums.set(key, (sums.get(key) ?? 0) + value);
}

function mostFirst(sums) {
  return [...sums].sort(([, one], [, other]) => other - one);
}

function nameOf(file) {
  return relative(process.cwd(), file);
}

function print(line) {
  process.stdout.write(`${line}\n`);
}

const slowestFiles = 10;
