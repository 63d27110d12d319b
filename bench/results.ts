import type { Measured, MemoryPerConnection } from './measurement.ts';
import type { Measure, Row } from './rows.ts';
import { variants, type Variant } from './stage.ts';
import { median } from './statistics.ts';
import type { Target } from './targets.ts';

/** One line of a row's table: a figure of every variant. */
export interface Line {
  readonly measure: string;
  readonly unit: string;
  readonly digits: number;
  readonly cells: readonly Cell[];
}

export interface Cell {
  readonly variant: Variant;
  readonly title: string;
  readonly median: number;
  readonly samples: readonly number[];
  /** To `node:tls` of the same round: median, least and most. Absent for `node:tls` itself. */
  readonly ratio?: { readonly median: number; readonly min: number; readonly max: number };
  readonly target?: { readonly text: string; readonly met: boolean };
}

export interface RowResult {
  readonly id: string;
  readonly title: string;
  readonly lines: readonly Line[];
}

/** Samples of each variant, one per round, in the order of the rounds. */
export type Rounds<T> = ReadonlyMap<Variant, readonly T[]>;

export function rowResult(
  row: Row,
  rounds: Rounds<Measured>,
  targets: readonly Target[],
): RowResult {
  const lines = Object.entries(row.measures).map(([name, measure]) =>
    line(row.id, name, measure, rounds, ({ figures }) => figures[name] ?? Number.NaN, targets),
  );
  const costs = Object.entries(costMeasures).map(([name, of]) => {
    const measure: Measure = { unit: row.costUnit.title, better: 'less', digits: 3 };
    const value = (sample: Measured): number =>
      sample.costs === undefined
        ? Number.NaN
        : (of(sample.costs) / sample.work) * row.costUnit.work;
    return line(row.id, name, measure, rounds, value, targets);
  });
  return { id: row.id, title: row.title, lines: [...lines, ...costs] };
}

export function memoryResult(
  rounds: Rounds<MemoryPerConnection>,
  targets: readonly Target[],
): RowResult {
  const measure: Measure = { unit: 'KiB', better: 'less', digits: 1 };
  const of = (name: string, value: (one: MemoryPerConnection) => number): Line =>
    line('memory', name, measure, rounds, (one) => value(one) / 1024, targets);
  return {
    id: 'memory',
    title: 'memory of an idle connection in the application',
    lines: [
      of('client', ({ client }) => client),
      of('server', ({ server }) => server),
      of('both', ({ client, server }) => client + server),
    ],
  };
}

const costMeasures: Readonly<Record<string, (costs: NonNullable<Measured['costs']>) => number>> = {
  'client application': ({ clientApplication }) => clientApplication,
  'server application': ({ serverApplication }) => serverApplication,
  applications: (costs) => costs.clientApplication + costs.serverApplication,
  'client sidecar': ({ clientSidecar }) => clientSidecar,
  'server sidecar': ({ serverSidecar }) => serverSidecar,
  all: (costs) => Object.values(costs).reduce((sum: number, one: number) => sum + one, 0),
};

function line<T>(
  row: string,
  measure: string,
  { unit, digits }: Measure,
  rounds: Rounds<T>,
  value: (sample: T) => number,
  targets: readonly Target[],
): Line {
  const base = rounds.get('tls')?.map(value) ?? [];
  const cells = [...rounds].map(([variant, samples]): Cell => {
    const values = samples.map(value);
    const cell = {
      variant,
      title: variants[variant].title,
      median: median(values),
      samples: values,
    };
    if (variant === 'tls') return cell;
    const ratios = values.map((one, round) => one / (base[round] ?? Number.NaN));
    const ratio = { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
    const target = targets.find(
      (one) => one.row === row && one.variant === variant && one.measure === measure,
    );
    return { ...cell, ratio, ...(target ? { target: judged(target, ratio.median) } : {}) };
  });
  return { measure, unit, digits, cells };
}

function judged({ atLeast, atMost }: Target, ratio: number): { text: string; met: boolean } {
  if (atLeast !== undefined) return { text: `≥ ${String(atLeast)}`, met: ratio >= atLeast };
  return { text: `≤ ${String(atMost)}`, met: atMost !== undefined && ratio <= atMost };
}
