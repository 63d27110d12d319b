import type { ExtensionCodec } from './extension-table.ts';

/**
 * A bare acknowledgement: server_name and status_request in a ServerHello
 * ({@link https://www.rfc-editor.org/rfc/rfc6066#section-3 | RFC 6066 §3, §8}), session_ticket there
 * ({@link https://www.rfc-editor.org/rfc/rfc5077#section-3.2 | RFC 5077 §3.2}).
 */
export const emptyExtension: ExtensionCodec<boolean> = {
  parse: () => true,
  encode: () => undefined,
};
