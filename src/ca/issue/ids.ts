import { toHex } from '../../bytes/bytes.ts';
import type { AuthorityContext } from '../context.ts';

/** 16 bytes that no other certificate has: the store's epoch, then 96 random bits. */
export function newSerial({
  epoch,
  random,
}: Pick<AuthorityContext, 'epoch' | 'random'>): Uint8Array {
  return Uint8Array.from(Buffer.concat([Buffer.from(epoch, 'hex'), random(12)]));
}

/** A random UUID ({@link https://www.rfc-editor.org/rfc/rfc9562#section-5.4 | RFC 9562 §5.4}). */
export function newAgentId(random: (length: number) => Uint8Array): Uint8Array {
  const id = Uint8Array.from(random(16));
  id[6] = ((id[6] ?? 0) & 0x0f) | 0x40;
  id[8] = ((id[8] ?? 0) & 0x3f) | 0x80;
  return id;
}

/** The text of a UUID. */
export function uuidText(id: Uint8Array): string {
  const hex = toHex(id);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}
