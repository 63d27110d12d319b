import type { ExtensionCodec } from './extension-table.ts';

/**
 * {@link https://www.rfc-editor.org/rfc/rfc7685#section-3 | RFC 7685 §3}: zeros whose number is all
 * that counts. A peer's bytes are not looked at.
 */
export const padding: ExtensionCodec<number> = {
  parse: (body) => body.rest().length,
  encode(writer, length) {
    writer.bytes(new Uint8Array(length));
  },
};
