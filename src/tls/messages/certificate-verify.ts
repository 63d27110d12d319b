import { Writer } from '../../bytes/writer.ts';
import { parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8 | RFC 5246 §7.4.8}. */
export interface CertificateVerify {
  readonly scheme: number;
  /** A view of the body when parsed. */
  readonly signature: Uint8Array;
}

// struct {
//   SignatureAndHashAlgorithm algorithm;
//   opaque signature<0..2^16-1>;
// } CertificateVerify;

/** Throws `decode_error`. */
export function parseCertificateVerify(body: Uint8Array): CertificateVerify {
  return parsing('CertificateVerify', body, (reader) => ({
    scheme: reader.u16(),
    signature: reader.vec16().rest(),
  }));
}

export function encodeCertificateVerify(message: CertificateVerify): Uint8Array {
  return new Writer().u16(message.scheme).vec16(message.signature).finish();
}
