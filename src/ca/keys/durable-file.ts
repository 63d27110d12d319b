import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file of mode 0600 so that after a crash it is there as a whole or not at all. With
 * `mustExist`, an existing file is overwritten in place instead, and an absent one is left absent.
 */
export async function writeDurably(
  path: string,
  bytes: Uint8Array,
  options: { readonly mustExist?: boolean } = {},
): Promise<void> {
  if (options.mustExist === true) {
    await overwrite(path, bytes);
    return;
  }
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Makes names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function overwrite(path: string, bytes: Uint8Array): Promise<void> {
  let file;
  try {
    file = await open(path, 'r+');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  try {
    await file.write(bytes, 0, bytes.length, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}
