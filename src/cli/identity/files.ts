import { mkdir, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

/** A file to be made: never one that is there already. */
export interface NewFile {
  readonly path: string;
  readonly content: Uint8Array;
  /** 0600 for keys. */
  readonly mode: number;
}

/** Where the files of an identity go; makes the directory, closed to others, if need be. */
export async function identityPaths(
  directory: string,
  name: string,
): Promise<{ readonly key: string; readonly certificate: string; readonly request: string }> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = (extension: string): string => join(directory, `${name}.${extension}`);
  return { key: path('key'), certificate: path('pem'), request: path('csr') };
}

/**
 * Writes all files or none: an existing key is not replaced by accident, and no half of a pair
 * stays behind.
 *
 * @throws if one of the files exists or cannot be written
 */
export async function writeNewFiles(files: readonly NewFile[]): Promise<void> {
  const written: string[] = [];
  try {
    for (const { path, content, mode } of files) {
      const handle = await open(path, 'wx', mode);
      written.push(path);
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  } catch (error) {
    await Promise.all(written.map((path) => unlink(path)));
    throw error;
  }
}
