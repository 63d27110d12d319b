import { Writer } from '../../bytes/writer.ts';
import { parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5077#section-3.3 | RFC 5077 §3.3}. */
export interface NewSessionTicket {
  /** 0: unspecified. */
  readonly lifetimeHintSeconds: number;
  /** Empty: the server changed its mind. A view of the body when parsed. */
  readonly ticket: Uint8Array;
}

// struct {
//   uint32 ticket_lifetime_hint;
//   opaque ticket<0..2^16-1>;
// } NewSessionTicket;

/** Throws `decode_error`. */
export function parseNewSessionTicket(body: Uint8Array): NewSessionTicket {
  return parsing('NewSessionTicket', body, (reader) => ({
    lifetimeHintSeconds: reader.u32(),
    ticket: reader.vec16().rest(),
  }));
}

export function encodeNewSessionTicket(message: NewSessionTicket): Uint8Array {
  return new Writer().u32(message.lifetimeHintSeconds).vec16(message.ticket).finish();
}
