import type { z } from 'zod';
import type { history } from '../admin-api/messages.ts';
import { html, type Markup } from './markup.ts';

type Beat = z.infer<typeof history>['beats'][number];

/**
 * Heartbeats over time: a line of round trips, and a mark from top to bottom for each that was missed. The scale is
 * that of the slowest one.
 */
export function historyPlot(beats: readonly Beat[]): Markup {
  const [first] = beats;
  const last = beats.at(-1);
  if (first === undefined || last === undefined) {
    return html`<p class="none">no heartbeat yet</p>`;
  }
  const from = Date.parse(first.at);
  const range = Math.max(1, Date.parse(last.at) - from);
  const slowest = Math.max(1, ...beats.map(({ roundTripMs = 0 }) => roundTripMs));
  const x = (beat: Beat): string =>
    fixed(left + ((Date.parse(beat.at) - from) / range) * (width - left - right));
  const y = (milliseconds: number): string =>
    fixed(bottom - (milliseconds / slowest) * (bottom - top));
  const missed = beats.filter(({ outcome }) => outcome === 'missed');
  const segments = runs(beats).map((run) => {
    const line = run.map((beat) => `${x(beat)},${y(beat.roundTripMs ?? 0)}`).join(' ');
    const [begin = first, end = last] = [run[0], run.at(-1)];
    return html`<polygon class="under" points="${x(begin)},${y(0)} ${line} ${x(end)},${y(0)}" />
      <polyline class="round-trip" points="${line}" />`;
  });
  const scale = [0, slowest / 2, slowest].map(
    (milliseconds) =>
      html`<line
          class="axis"
          x1="${left}"
          x2="${width - right}"
          y1="${y(milliseconds)}"
          y2="${y(milliseconds)}"
        />
        <text class="end" x="${left - 6}" y="${Number(y(milliseconds)) + 4}">
          ${milliseconds.toFixed(slowest < 10 ? 1 : 0)} ms
        </text>`,
  );
  const label = `${String(beats.length)} heartbeats, ${String(missed.length)} missed, slowest ${slowest.toFixed(1)} ms`;
  return html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">
      ${scale} ${segments}
      ${missed.map(
        (beat) =>
          html`<line class="missed" x1="${x(beat)}" x2="${x(beat)}" y1="${top}" y2="${bottom}">
            <title>missed at ${beat.at}</title>
          </line>`,
      )}
      <text x="${left}" y="${height - 4}">${clock(first)}</text>
      <text class="end" x="${width - right}" y="${height - 4}">${clock(last)}</text>
    </svg>
    <p class="note">${label}</p>`;
}

/** To the second, UTC. */
function clock({ at }: Beat): string {
  return `${at.slice(0, 19).replace('T', ' ')} UTC`;
}

/** Answered heartbeats between missed ones: no line is drawn over what was not measured. */
function runs(beats: readonly Beat[]): readonly (readonly Beat[])[] {
  const all: Beat[][] = [[]];
  for (const beat of beats) {
    if (beat.outcome === 'missed') all.push([]);
    else all.at(-1)?.push(beat);
  }
  return all
    .filter((run) => run.length > 0)
    .map((run) => {
      // One point alone would not be seen.
      const [only] = run;
      return run.length === 1 && only !== undefined ? [only, only] : run;
    });
}

function fixed(value: number): string {
  return value.toFixed(1);
}

const width = 960;
const height = 200;
const left = 64;
const right = 8;
const top = 12;
const bottom = height - 24;
