import { codes } from '../messages/parsing.ts';
import type { ExtensionCodec } from './extension-table.ts';

// struct { NamedCurve named_curve_list<2..2^16-1>; } NamedCurveList;

/** {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.1.1 | RFC 8422 §5.1.1}. */
export const supportedGroups: ExtensionCodec<readonly number[]> = {
  parse: (body) => codes('supported_groups', body.vec16()),
  encode(writer, groups) {
    writer.vec16(() => {
      for (const group of groups) writer.u16(group);
    });
  },
};
