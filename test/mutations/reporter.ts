import { writeFileSync } from 'node:fs';
import type { Runner, Test } from 'mocha';

/** For mocha: where what fails is written, and nothing else; errors may hold what JSON cannot. */
export default class FailuresReporter {
  readonly #failures: { readonly file: string; readonly title: string }[] = [];

  constructor(runner: Runner) {
    runner.on('fail', (test: Test) => {
      this.#failures.push({ file: test.file ?? 'unknown', title: test.fullTitle() });
    });
    runner.on('end', () => {
      const report = process.env['MUTATIONS_REPORT'];
      if (report !== undefined) writeFileSync(report, JSON.stringify(this.#failures));
    });
  }
}
