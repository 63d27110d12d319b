import { TlsAlertError } from '../alert.ts';
import { nonEmpty } from '../messages/parsing.ts';
import type { ExtensionCodec } from './extension-table.ts';

// struct { ECPointFormat ec_point_format_list<1..2^8-1>; } ECPointFormatList;

/**
 * {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.1.2 | RFC 8422 §5.1.2}. Throws
 * `illegal_parameter` for a list without uncompressed(0).
 */
export const ecPointFormats: ExtensionCodec<readonly number[]> = {
  parse(body) {
    const formats = [...nonEmpty('ec_point_formats', body.vec8())];
    if (!formats.includes(0)) {
      throw new TlsAlertError('illegal_parameter', 'ec_point_formats without uncompressed');
    }
    return formats;
  },
  encode(writer, formats) {
    writer.vec8(Uint8Array.from(formats));
  },
};
