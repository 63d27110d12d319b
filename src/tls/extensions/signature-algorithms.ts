import { codes } from '../messages/parsing.ts';
import type { ExtensionCodec } from './extension-table.ts';

// SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;

/**
 * signature_algorithms ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.4.1 | RFC 5246
 * §7.4.1.4.1}) and signature_algorithms_cert (RFC 8446 §4.2.3).
 */
export const signatureAlgorithms: ExtensionCodec<readonly number[]> = {
  parse: (body) => codes('signature_algorithms', body.vec16()),
  encode(writer, schemes) {
    writer.vec16(() => {
      for (const scheme of schemes) writer.u16(scheme);
    });
  },
};
