import type { ExtensionCodec } from './extension-table.ts';

// struct { opaque renegotiated_connection<0..255>; } RenegotiationInfo;

/** {@link https://www.rfc-editor.org/rfc/rfc5746#section-3.2 | RFC 5746 §3.2}. */
export const renegotiationInfo: ExtensionCodec<Uint8Array> = {
  parse: (body) => body.vec8().rest(),
  encode(writer, renegotiatedConnection) {
    writer.vec8(renegotiatedConnection);
  },
};
