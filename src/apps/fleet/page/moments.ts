import { html, type Markup } from './markup.ts';

/** How long ago or ahead a moment is, with the moment itself for whoever wants to know. */
export function relative(moment: string | undefined, now: Date): Markup {
  if (moment === undefined) return html`<span class="none">never</span>`;
  const seconds = (Date.parse(moment) - now.getTime()) / 1000;
  const text = seconds < 0 ? `${span(-seconds)} ago` : `in ${span(seconds)}`;
  return html`<time datetime="${moment}" title="${moment}">${text}</time>`;
}

function span(seconds: number): string {
  for (const [unit, size] of units) {
    if (seconds >= size * 2) return `${String(Math.floor(seconds / size))} ${unit}`;
  }
  return `${String(Math.floor(seconds))} s`;
}

const units = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
] as const;
