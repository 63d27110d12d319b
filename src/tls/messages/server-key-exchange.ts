import { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import { nonEmpty, parsing } from './parsing.ts';

/** ECDHE parameters and their signature, {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.4 | RFC 8422 §5.4}. */
export interface ServerKeyExchange {
  /** The ServerECDHParams as they are on the wire: what the signature covers after the randoms. */
  readonly params: Uint8Array;
  readonly group: number;
  /** The server's public value; its form is judged by the key exchange. */
  readonly point: Uint8Array;
  readonly scheme: number;
  readonly signature: Uint8Array;
}

// struct {
//   ECCurveType curve_type;                     named_curve(3)
//   NamedCurve namedcurve;
//   opaque point<1..2^8-1>;
// } ServerECDHParams;

/** The `params` a server signs and sends. */
export function encodeServerEcdhParams(group: number, point: Uint8Array): Uint8Array {
  return new Writer().u8(namedCurve).u16(group).vec8(point).finish();
}

// struct {
//   ServerECDHParams params;
//   SignatureAndHashAlgorithm algorithm;
//   opaque signature<0..2^16-1>;
// } ServerKeyExchange;

/** Throws `decode_error`, also for explicit curves. Byte fields are views of the body. */
export function parseServerKeyExchange(body: Uint8Array): ServerKeyExchange {
  return parsing('ServerKeyExchange', body, (reader) => {
    if (reader.u8() !== namedCurve) {
      throw new TlsAlertError('decode_error', 'ServerKeyExchange: not a named curve');
    }
    const group = reader.u16();
    const point = nonEmpty('ServerKeyExchange: point', reader.vec8());
    const params = body.subarray(0, body.length - reader.remaining);
    const scheme = reader.u16();
    const signature = reader.vec16().rest();
    return { params, group, point, scheme, signature };
  });
}

export function encodeServerKeyExchange(
  message: Pick<ServerKeyExchange, 'params' | 'scheme' | 'signature'>,
): Uint8Array {
  return new Writer().bytes(message.params).u16(message.scheme).vec16(message.signature).finish();
}

const namedCurve = 3;
