import { printable } from './terminal.ts';

/** How far long work is, for the person who waits: on standard error, so that output stays what was asked for. */
export interface Progress {
  /** `note` says what there is besides, such as failures. */
  show(done: number, total: number, note?: string): void;
  /** Leaves the last state standing. */
  end(): void;
}

/** A bar that is drawn over itself on a terminal; elsewhere a line now and then. */
export function createProgress(label: string, output: ProgressOutput = process.stderr): Progress {
  return output.isTTY === true ? new Bar(label, output) : new Lines(label, output);
}

export interface ProgressOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

class Bar implements Progress {
  readonly #label: string;
  readonly #output: ProgressOutput;
  #drawn = false;

  constructor(label: string, output: ProgressOutput) {
    this.#label = printable(label);
    this.#output = output;
  }

  show(done: number, total: number, note = ''): void {
    const filled = total === 0 ? barWidth : Math.floor((done / total) * barWidth);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}`;
    const line = `${this.#label} ${bar} ${summary(done, total, note)}`;
    this.#output.write(`\r\u001b[K${line.slice(0, (this.#output.columns ?? 80) - 1)}`);
    this.#drawn = true;
  }

  end(): void {
    if (this.#drawn) this.#output.write('\n');
    this.#drawn = false;
  }
}

class Lines implements Progress {
  readonly #label: string;
  readonly #output: ProgressOutput;
  #saidTenths = 0;

  constructor(label: string, output: ProgressOutput) {
    this.#label = printable(label);
    this.#output = output;
  }

  show(done: number, total: number, note = ''): void {
    const tenths = total === 0 ? 10 : Math.floor((done / total) * 10);
    if (tenths <= this.#saidTenths) return;
    this.#saidTenths = tenths;
    this.#output.write(`${this.#label} ${summary(done, total, note)}\n`);
  }

  end(): void {
    this.#saidTenths = 0;
  }
}

function summary(done: number, total: number, note: string): string {
  const counts = `${String(done)} of ${String(total)}`;
  return note === '' ? counts : `${counts}, ${printable(note)}`;
}

const barWidth = 24;
