import { codes } from '../messages/parsing.ts';
import type { ExtensionCodec } from './extension-table.ts';

// struct {
//   select (Handshake.msg_type) {
//     case client_hello: ProtocolVersion versions<2..254>;
//     case server_hello: ProtocolVersion selected_version;
//   };
// } SupportedVersions;

/** The client's list, {@link https://www.rfc-editor.org/rfc/rfc8446#section-4.2.1 | RFC 8446 §4.2.1}. */
export const supportedVersions: ExtensionCodec<readonly number[]> = {
  parse: (body) => codes('supported_versions', body.vec8()),
  encode(writer, versions) {
    writer.vec8(() => {
      for (const version of versions) writer.u16(version);
    });
  },
};

/** The server's choice. */
export const selectedVersion: ExtensionCodec<number> = {
  parse: (body) => body.u16(),
  encode(writer, version) {
    writer.u16(version);
  },
};
