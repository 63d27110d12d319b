import { readFileSync } from 'node:fs';

/** Version of this program, from its package. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  const known = typeof parsed === 'object' && parsed !== null && 'version' in parsed;
  return known && typeof parsed.version === 'string' ? parsed.version : 'unknown';
}
