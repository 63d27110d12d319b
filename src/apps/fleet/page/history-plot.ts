import type { z } from 'zod';
import type { history } from '../admin-api/messages.ts';
import { html, type Markup } from './markup.ts';

type Beat = z.infer<typeof history>['beats'][number];

/**
 * Heartbeats over time: a line of round trips, and a mark at the top for each that was missed. The scale is that of the
 * slowest one.
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
    fixed(margin + ((Date.parse(beat.at) - from) / range) * (width - 2 * margin));
  const y = (milliseconds: number): string =>
    fixed(height - margin - (milliseconds / slowest) * (height - 3 * margin));
  const missed = beats.filter(({ outcome }) => outcome === 'missed');
  const segments = runs(beats).map(
    (run) =>
      html`<polyline
        class="round-trip"
        points="${run.map((beat) => `${x(beat)},${y(beat.roundTripMs ?? 0)}`).join(' ')}"
      />`,
  );
  const label = `${String(beats.length)} heartbeats, ${String(missed.length)} missed, slowest ${slowest.toFixed(1)} ms`;
  return html`<svg class="plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">
      <line class="axis" x1="${margin}" x2="${width - margin}" y1="${y(0)}" y2="${y(0)}" />
      ${segments}
      ${missed.map(
        (beat) =>
          html`<line class="missed" x1="${x(beat)}" x2="${x(beat)}" y1="${margin}" y2="${y(0)}">
            <title>missed at ${beat.at}</title>
          </line>`,
      )}
      <text x="${margin}" y="${margin}">${slowest.toFixed(1)} ms</text>
      <text x="${margin}" y="${height - 2}">${first.at.slice(0, 16)}Z</text>
      <text class="end" x="${width - margin}" y="${height - 2}">${last.at.slice(0, 16)}Z</text>
    </svg>
    <p class="note">${label}</p>`;
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

const width = 720;
const height = 160;
const margin = 14;
