import { styleText } from 'node:util';

/** Looks a line may have; only on a terminal, and not where NO_COLOR asks for none. */
export type Style = 'bold' | 'dim' | 'green' | 'red' | 'cyan' | 'yellow';

/** Text for standard output, styled if that is a terminal. */
export function styled(style: Style, text: string): string {
  const plain = !process.stdout.isTTY || process.env['NO_COLOR'] !== undefined;
  return plain ? text : styleText(style, text);
}

/** One line on standard output. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** One line on standard error. */
export function printError(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Columns as wide as their widest cell; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** How lists are printed. */
export type OutputFormat = 'table' | 'json';

/** A list for people, or the same facts for programs. */
export function printList(
  format: OutputFormat,
  items: readonly object[],
  rows: readonly (readonly string[])[],
): void {
  print(format === 'json' ? JSON.stringify(items, null, 2) : formatTable(rows));
}

/** Text that came from a peer: nothing in it can control the terminal or reorder the line. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}
