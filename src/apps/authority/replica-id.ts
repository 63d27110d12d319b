import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { toHex } from '../../bytes/bytes.ts';
import { writeDurably } from '../../ca/keys/durable-file.ts';
import { randomBytes } from '../../crypto/random.ts';

/** Name of this replica among those of one store: made at the first start, and kept. */
export async function readReplicaId(state: string): Promise<string> {
  const path = join(state, 'replica-id');
  try {
    const kept = (await readFile(path, 'latin1')).trim();
    if (/^[0-9a-f]{16}$/u.test(kept)) return kept;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const id = toHex(randomBytes(8));
  await writeDurably(path, Buffer.from(`${id}\n`));
  return id;
}
