import { formatTable, print, printable } from '../terminal.ts';

/** A moment as a person reads it; seconds are enough. */
export function formatMoment(moment: Date | undefined): string {
  return moment === undefined ? '' : `${moment.toISOString().slice(0, 19)}Z`;
}

/** Name and value, one pair a line; empty values are left out. */
export function printFacts(facts: readonly (readonly [name: string, value: string])[]): void {
  print(formatTable(facts.filter(([, value]) => value !== '').map((row) => row.map(printable))));
}

/** `k=v k=v`. */
export function formatProperties(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

/** A count with its noun. */
export function counted(count: number | bigint, one: string, many = `${one}s`): string {
  return `${String(count)} ${count === 1 || count === 1n ? one : many}`;
}
