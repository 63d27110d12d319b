import { createHash, type Hash } from 'node:crypto';

/** Size of one piece of a download. */
export const pieceBytes = 64 * 1024;

/** The content of every download, in pieces of which no two are alike. */
export function piece(index: number): Buffer {
  const bytes = Buffer.alloc(pieceBytes, 'sidekey ');
  bytes.writeUInt32BE(index, 0);
  return bytes;
}

/** Digest of a whole download, for comparison with what arrived. */
export function contentDigest(pieces: number): string {
  const hash: Hash = createHash('sha256');
  for (let index = 0; index < pieces; index++) hash.update(piece(index));
  return hash.digest('hex');
}
