/** HTML or SVG that is safe to send: everything that came from elsewhere is escaped in it. */
export class Markup {
  readonly text: string;

  /** Use {@link html}. */
  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Markup | readonly Markup[];

/**
 * A template whose values become text: only what another template made is taken as it is. Values may stand between tags
 * and inside of quoted attributes, nowhere else.
 */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Markup {
  return new Markup(
    parts
      .map((part, index) => (index === 0 ? part : `${textOf(values[index - 1] ?? '')}${part}`))
      .join(''),
  );
}

function textOf(value: Value): string {
  if (value instanceof Markup) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return String(value).replace(unsafe, (character) => entities[character] ?? '\ufffd');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Also what would reorder the text around it. */
const unsafe = /[&<>"']|[\p{Cc}\p{Cf}]/gu;
