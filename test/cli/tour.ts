import { readFileSync } from 'node:fs';

/** The commands of a section of the README, as a person would copy them: every block of `sh`, in order. */
export function tourCommands(section: string): string {
  const text = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const start = text.indexOf(`\n## ${section}\n`);
  if (start === -1) throw new Error(`README.md has no section "${section}"`);
  const end = text.indexOf('\n## ', start + 1);
  const blocks = text.slice(start, end === -1 ? undefined : end).matchAll(/^```sh\n(.*?)^```$/gmsu);
  return [...blocks].map(([, commands = '']) => commands).join('\n');
}
