import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { dirname } from 'node:path';
import { pinned } from './pinned-process.ts';
import type { Cell, Line, RowResult } from './results.ts';

/** What the figures were taken on, in one line: none of them means anything without it. */
export function machineLine(): string {
  const cores = cpus();
  return [
    `${String(cores.length)} × ${cores[0]?.model.trim() ?? 'unknown CPU'}`,
    `${(totalmem() / 2 ** 30).toFixed(0)} GiB`,
    `${process.platform} ${release()}`,
    `Node ${process.versions.node} (OpenSSL ${process.versions.openssl})`,
    pinned ? 'main threads of the client end on core 0, of the server end on core 1' : 'not pinned',
    `load ${(loadavg()[0] ?? 0).toFixed(1)}`,
  ].join(', ');
}

/** A row's table for people. */
export function printRow({ title, lines }: RowResult): void {
  const out = [`\n${title}`];
  for (const line of lines) {
    // Lines that say nothing: sidecars where there is no work for them.
    if (line.cells.every(({ median }) => Number.isNaN(median) || isNothing(line, median))) continue;
    const [first, ...others] = line.cells;
    const base = first === undefined ? '' : figure(line, first.median);
    out.push(
      `  ${line.measure.padEnd(20)}${line.unit.padEnd(18)}${base.padStart(10)}` +
        others.map((cell) => column(line, cell)).join(''),
    );
  }
  process.stdout.write(`${out.join('\n')}\n`);
}

/** Names of the columns, once. */
export function printHeader(titles: readonly string[]): void {
  const [base = '', ...others] = titles;
  process.stdout.write(
    `${' '.repeat(40)}${base.padStart(10)}${others.map((title) => `    ${title.padEnd(45)}`).join('')}\n`,
  );
}

export function writeJson(path: string, content: object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`);
}

function column(line: Line, { median, ratio, target }: Cell): string {
  const value = figure(line, median).padStart(9);
  if (ratio === undefined || isNothing(line, median) || !Number.isFinite(ratio.median)) {
    return `    ${value}${' '.repeat(36)}`;
  }
  const range = `(${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
  const goal = target === undefined ? '' : `${target.text}${target.met ? '' : ' missed'}`;
  return `    ${value}  × ${ratio.median.toFixed(2)} ${range.padEnd(13)}${goal.padEnd(14)}`.slice(
    0,
    46,
  );
}

function figure({ digits }: Line, value: number): string {
  return Number.isNaN(value)
    ? '–'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function isNothing({ digits }: Line, value: number): boolean {
  return Math.abs(value) < 0.5 * 10 ** -digits;
}
