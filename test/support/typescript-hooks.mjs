// Hooks of the module loader: https://nodejs.org/docs/latest-v20.x/api/module.html#customization-hooks
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath, URL } from 'node:url';

// `npm ci` empties it, so what is in it was made by the version that is installed.
const cache = fileURLToPath(new URL('../../node_modules/.cache/typescript/', import.meta.url));
let blankSpace;

export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const text = readFileSync(fileURLToPath(url));
  const name = createHash('sha256').update(text).digest('hex');
  const path = `${cache}${name}.js`;
  let source;
  try {
    source = readFileSync(path);
  } catch {
    source = await withoutTypes(text.toString(), url);
    keep(path, source);
  }
  return { format: 'module', source, shortCircuit: true };
}

async function withoutTypes(text, url) {
  blankSpace ??= (await import('ts-blank-space')).default;
  return blankSpace(text, (node) => {
    throw new SyntaxError(`${url}: more than a type: ${node.getText().slice(0, 80)}`);
  });
}

/** Several processes may write the same file. */
function keep(path, source) {
  const own = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    mkdirSync(cache, { recursive: true });
    writeFileSync(own, source);
    renameSync(own, path);
  } catch {
    // A tree that cannot be written to only takes longer.
  }
}
