import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { run } from '../../src/cli/program.ts';

/** What `sidekey … --help` prints. */
async function help(...path: readonly string[]): Promise<string> {
  let text = '';
  const take = (part: string): void => void (text += part);
  const code = await run([...path, '--help'], { writeOut: take, writeErr: take });
  expect(code, path.join(' ')).to.equal(0);
  return text;
}

async function subcommands(...path: readonly string[]): Promise<readonly string[]> {
  const [, list = ''] = (await help(...path)).split('Commands:\n');
  return [...list.matchAll(/^ {2}([a-z][a-z-]*)/gmu)].map(([, name = '']) => name);
}

describe('doc/commands.md', () => {
  const text = readFileSync(new URL('../../doc/commands.md', import.meta.url), 'utf8');

  it('has every command and every subcommand', async () => {
    const commands = await subcommands();
    expect(commands).to.include.members(['sidecar', 'token', 'rotate', 'doctor']);
    for (const command of commands) {
      expect(text, command).to.contain(command);
      for (const name of await subcommands(command)) {
        expect(text, `${command} ${name}`).to.match(new RegExp(`\\b${name}\\b`, 'u'));
      }
    }
  });

  /** Rows about the authority: the commands of a row, and the options written there. */
  const rows = text
    .slice(text.indexOf('## The authority'))
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|')[1] ?? '');

  it('is about the commands of an authority', () => {
    expect(rows).to.have.length.above(20);
  });

  for (const row of rows) {
    it(`says what there is: ${row.trim().slice(0, 80)}`, async () => {
      const options = [...row.matchAll(/--[a-z-]+/gu)].map(([name]) => name);
      const [group = ''] = /[a-z][a-z-]*/u.exec(row) ?? [];
      const names = [...row.matchAll(/`([a-z-]+)(?: ([a-z-]+))?/gu)].map(([, first, second]) =>
        first === group ? second : first,
      );
      const known = await subcommands(group);
      const paths =
        known.length === 0
          ? [[group]]
          : names.flatMap((name) =>
              name !== undefined && known.includes(name) ? [[group, name]] : [],
            );
      expect(paths, row).to.not.have.length(0);
      const helps = await Promise.all(paths.map((path) => help(...path)));
      for (const option of options) {
        expect(
          helps.some((each) => each.includes(option)),
          `${row}: ${option}`,
        ).to.equal(true);
      }
    });
  }
});
