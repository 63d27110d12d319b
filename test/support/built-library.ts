import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as library from '../../src/offload/index.ts';

/** The library as packaged, not as it stands in src. */
export async function builtLibrary(): Promise<typeof library> {
  const file = path.join(import.meta.dirname, '../../dist/offload/index.js');
  return (await import(pathToFileURL(file).href)) as typeof library;
}
