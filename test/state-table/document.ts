import type { PuppetClient, PuppetServer } from '../support/puppet.ts';
import { clientInputs, clientRows } from './client-rows.ts';
import { probe, type Input, type Reaction, type Row } from './probe.ts';
import { serverInputs, serverRows } from './server-rows.ts';

/** Where the document is kept. */
export const documentFile = new URL('../../doc/state-machine.md', import.meta.url);

/** The whole document, made by asking the running engine. */
export function stateMachineDocument(): string {
  return [
    header,
    ...aligned(legend),
    '',
    ...section('Client', clientRows, clientInputs),
    ...section('Server', serverRows, serverInputs),
  ].join('\n');
}

function section<P extends PuppetClient | PuppetServer>(
  title: string,
  rows: readonly Row<P>[],
  inputs: readonly Input<P>[],
): readonly string[] {
  const letter = title.charAt(0);
  const labels = rows.map((_, index) => `${letter}${String(index + 1)}`);
  const lines = [`## ${title}`, ''];
  lines.push(
    ...aligned([
      ['State', 'Tag', 'Reached after'],
      ...rows.map(({ state, after }, index) => [labels[index] ?? '', `\`${state}\``, after]),
    ]),
  );
  for (let start = 0; start < rows.length; start += columns) {
    const group = rows.slice(start, start + columns);
    lines.push(
      '',
      ...aligned([
        ['It hears', ...labels.slice(start, start + columns)],
        ...inputs.map((input) => [input.name, ...group.map((row) => cell(probe(row, input)))]),
      ]),
    );
  }
  return [...lines, ''];
}

function cell(reaction: Reaction): string {
  switch (reaction.type) {
    case 'moves':
      return `→ \`${reaction.to}\``;
    case 'refused':
      return reaction.alert === 'unexpected_message' ? '✗' : `✗ ${reaction.alert}`;
    case 'ended':
      return reaction.by === 'peer_alert' ? 'end: alert' : 'end: closed';
    case 'ignored':
    case 'kept':
    case 'silent':
      return reaction.type;
    case 'not for it':
      return '–';
  }
}

/** A table as prettier writes it. */
function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)];
}

const columns = 6;

const header = `# State machine of the handshake engine

Written by \`node --import ./test/support/typescript.mjs test/state-table/write.ts\`, which brings the engine to every state with
real messages and says one more thing to it. A test makes it anew and compares, so this is what the
code does. Change the code, not this file.

What is said is well formed and, once there are keys, under the right keys. The rules are those of
RFC 5246 §7.3 (order), §7.1 (ChangeCipherSpec), §7.2 (alerts), §7.4.1.1 (HelloRequest), §7.4.4 to §7.4.9
(who proves what, and when) and §6.2.1 (records), RFC 5077 §3.1 and §3.3 (tickets, resumption),
RFC 8422 §5 (ECDHE), and CVE-2014-0224 (no ChangeCipherSpec before there are keys).
`;

const legend: readonly (readonly string[])[] = [
  ['Cell', 'Meaning'],
  ['→ `State`', 'accepted; the engine is in that state now'],
  ['✗', 'refused with a fatal `unexpected_message`; no result, silence afterwards'],
  ['✗ alert', 'refused with that fatal alert'],
  ['ignored', 'taken without effect; how many of these it takes is bounded'],
  ['kept', 'not looked at until the driver has answered what it was asked'],
  ['end: alert', "the peer's fatal alert ends the handshake and is not answered"],
  ['end: closed', 'the peer says goodbye: that ends the handshake and is not answered'],
  ['–', "the bytes are not the engine's: to call it is its driver's mistake"],
  ['silent', 'its driver is told the failure of before; nothing is sent'],
];
