/** What a figure should be. */
export interface Target {
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface TableRow {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly target: string;
  readonly met: boolean;
}

/** Figures, each printed as soon as it is there. */
export class Table {
  readonly rows: TableRow[] = [];

  add(what: string, value: number, unit: string, { atLeast, atMost }: Target = {}): void {
    const met = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
    const goal =
      atLeast === undefined
        ? atMost === undefined
          ? ''
          : `≤ ${String(atMost)}`
        : `≥ ${String(atLeast)}`;
    const target = goal === '' ? '' : `${goal} ${met ? 'met' : 'missed'}`;
    this.rows.push({ what, value, unit, target, met });
    const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
    const figure = value.toLocaleString('en', {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    });
    process.stdout.write(`${what.padEnd(64)}${figure.padStart(10)} ${unit.padEnd(5)} ${target}\n`);
  }

  end(): void {
    const missed = this.rows.filter(({ met }) => !met).map(({ what }) => what);
    process.stdout.write(
      missed.length === 0 ? 'every goal met\n' : `goals missed: ${missed.join('; ')}\n`,
    );
  }
}
