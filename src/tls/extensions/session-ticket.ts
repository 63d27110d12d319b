import type { ExtensionCodec } from './extension-table.ts';

/**
 * The ClientHello's: the body is the ticket, without a length of its own
 * ({@link https://www.rfc-editor.org/rfc/rfc5077#section-3.2 | RFC 5077 §3.2, appendix A}).
 */
export const offeredTicket: ExtensionCodec<Uint8Array> = {
  parse: (body) => body.rest(),
  encode(writer, ticket) {
    writer.bytes(ticket);
  },
};
