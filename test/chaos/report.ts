import { patience } from './patience.ts';

/** Counts what was tried, and says what went wrong. */
export class Report {
  passed = 0;
  failed = 0;
  skipped = 0;
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  /** Something that was tried once; `problems` are empty when it went as it should. */
  check(name: string, problems: readonly string[]): void {
    if (problems.length === 0) this.passed += 1;
    else this.failed += 1;
    for (const problem of problems) this.#print(`FAILED ${name}: ${problem}`);
  }

  skip(name: string, why: string): void {
    this.skipped += 1;
    this.#print(`skipped ${name}: ${why}`);
  }

  /** What a person may want to know. */
  note(line: string): void {
    this.#print(line);
  }

  get summary(): string {
    const { passed, failed, skipped } = this;
    return `chaos: ${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`;
  }
}

/** `problem` unless `holds`. */
export function unless(holds: boolean, problem: string): readonly string[] {
  return holds ? [] : [problem];
}

/** Asks again and again until `holds`, or the time is over; a busy machine has {@link patience} times as much. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  timeoutMs: number,
): Promise<boolean> {
  const giveUpAt = performance.now() + timeoutMs * patience;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) return false;
    await pause(20);
  }
  return true;
}

export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs);
  });
}
