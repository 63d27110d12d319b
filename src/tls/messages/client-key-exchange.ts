import { Writer } from '../../bytes/writer.ts';
import { nonEmpty, parsing } from './parsing.ts';

/** The client's ECDHE value, {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.7 | RFC 8422 §5.7}. */
export interface ClientKeyExchange {
  /** Its form is judged by the key exchange. A view of the body when parsed. */
  readonly point: Uint8Array;
}

// struct { opaque ecdh_Yc<1..2^8-1>; } ClientKeyExchange;

/** Throws `decode_error`. */
export function parseClientKeyExchange(body: Uint8Array): ClientKeyExchange {
  return parsing('ClientKeyExchange', body, (reader) => ({
    point: nonEmpty('ClientKeyExchange: point', reader.vec8()),
  }));
}

export function encodeClientKeyExchange(message: ClientKeyExchange): Uint8Array {
  return new Writer().vec8(message.point).finish();
}
