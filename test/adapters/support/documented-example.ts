import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const root = path.join(import.meta.dirname, '../../..');

/** The examples of a page of `doc/adapters`, in their order. */
export function examplesOf(page: string): readonly string[] {
  const text = readFileSync(path.join(root, 'doc/adapters', page), 'utf8');
  return [...text.matchAll(/^```js\n([^]*?)^```$/gmu)].map(([, code = '']) => code);
}

/**
 * Runs an example as a program of its own, with the packaged library and the sidecar at `address`.
 * `places` are its addresses, as written there, and what they are in the test; each must occur.
 *
 * @returns what it printed; it has ended by itself
 */
export async function runExample(
  code: string,
  address: string,
  places: Readonly<Record<string, string>> = {},
): Promise<string> {
  const placed = Object.entries(places).reduce((text, [written, actual]) => {
    if (!text.includes(written)) throw new Error(`the example does not say ${written}`);
    return text.replaceAll(written, actual);
  }, code);
  const child = spawn(process.execPath, ['--input-type=module', '-'], {
    cwd: root,
    env: { ...process.env, SIDEKEY_ADDRESS: address, NODE_OPTIONS: '' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const patience = setTimeout(() => child.kill('SIGKILL'), 15_000);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.end(placed);
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  clearTimeout(patience);
  if (status !== 0) {
    throw new Error(`the example ended with ${String(status ?? signal)}:\n${output}${errors}`);
  }
  return output;
}
