import type { Cell, Outcome } from './cell.ts';
import { keyNames } from './peer.ts';

/** Peers by key and client certificate; each square shows the full and the resumed handshake. */
export function formatTable(cells: readonly Cell[]): string {
  const reasons: string[] = [];
  const mark = (outcome: Outcome | undefined): string => {
    if (outcome === undefined) return '';
    if (outcome.status === 'passed') return 'ok';
    if (outcome.status === 'failed') return 'FAILED';
    if (!reasons.includes(outcome.why)) reasons.push(outcome.why);
    return `(${String(reasons.indexOf(outcome.why) + 1)})`;
  };
  const columns = keyNames.flatMap((key) =>
    [false, true].flatMap((clientCertificate) =>
      [false, true].map((resumed) => ({ key, clientCertificate, resumed })),
    ),
  );
  const names = [...new Set(cells.map(({ peer, role }) => `${peer}\t${role}`))];
  const lines = names.map((name) => {
    const [peer = '', role = ''] = name.split('\t');
    const outcomes = columns.map(
      (column) => cells.find((cell) => isIn(cell, peer, role, column))?.outcome,
    );
    // A role or a program that does not exist: one reason for the whole row.
    const [why, ...others] = new Set(outcomes.map(reasonOf));
    if (why !== undefined && others.length === 0) return [peer, role, why];
    return [peer, role, ...outcomes.map(mark)];
  });
  const head = [
    ['', 'peer is', 'ECDSA', '', '', '', 'RSA', '', '', '', 'Ed25519', '', '', ''],
    ['', '', ...keyNames.flatMap(() => ['plain', '', 'mutual', ''])],
    ['', '', ...columns.map(({ resumed }) => (resumed ? 'resumed' : 'full'))],
  ];
  return [
    ...align([...head, ...lines]),
    ...(reasons.length === 0 ? [] : ['', 'not possible, because:']),
    ...reasons.map((reason, index) => `${`(${String(index + 1)})`.padStart(5)} ${reason}`),
  ].join('\n');
}

function isIn(
  cell: Cell,
  peer: string,
  role: string,
  column: Pick<Cell, 'key' | 'clientCertificate' | 'resumed'>,
): boolean {
  return (
    cell.peer === peer &&
    cell.role === role &&
    cell.key === column.key &&
    cell.clientCertificate === column.clientCertificate &&
    cell.resumed === column.resumed
  );
}

function reasonOf(outcome: Outcome | undefined): string | undefined {
  return outcome?.status === 'skipped' ? outcome.why : undefined;
}

function align(rows: readonly (readonly string[])[]): readonly string[] {
  // A row with a reason in it does not widen the columns.
  const full = rows.filter((row) => row.length === rows[0]?.length);
  const widths = rows[0]?.map((_, column) =>
    Math.max(...full.map((row) => (row[column] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((text, column) => text.padEnd(widths?.[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
