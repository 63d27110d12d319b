// Plain JavaScript: mocha loads it past the hooks that blank types out.
import { writeFileSync } from 'node:fs';
import process from 'node:process';

/** For mocha: where what fails is written, and nothing else; errors may hold what JSON cannot. */
export default class FailuresReporter {
  #failures = [];

  constructor(runner) {
    runner.on('fail', (test) => {
      this.#failures.push({ file: test.file ?? 'unknown', title: test.fullTitle() });
    });
    runner.on('end', () => {
      const report = process.env['MUTATIONS_REPORT'];
      if (report !== undefined) writeFileSync(report, JSON.stringify(this.#failures));
    });
  }
}
