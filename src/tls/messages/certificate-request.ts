import { Writer } from '../../bytes/writer.ts';
import { checkDistinguishedName } from './distinguished-name.ts';
import { codes, nonEmpty, parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.4 | RFC 5246 §7.4.4}. */
export interface CertificateRequest {
  /** Not empty. */
  readonly certificateTypes: readonly number[];
  /** Not empty. */
  readonly signatureAlgorithms: readonly number[];
  /** DER names; empty: any authority will do. Views of the body when parsed. */
  readonly certificateAuthorities: readonly Uint8Array[];
}

// opaque DistinguishedName<1..2^16-1>;
// struct {
//   ClientCertificateType certificate_types<1..2^8-1>;
//   SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;
//   DistinguishedName certificate_authorities<0..2^16-1>;
// } CertificateRequest;

/** Throws `decode_error`. */
export function parseCertificateRequest(body: Uint8Array): CertificateRequest {
  return parsing('CertificateRequest', body, (reader) => {
    const certificateTypes = [...nonEmpty('CertificateRequest: types', reader.vec8())];
    const signatureAlgorithms = codes('CertificateRequest: signature algorithms', reader.vec16());
    const list = reader.vec16();
    const certificateAuthorities: Uint8Array[] = [];
    while (list.remaining > 0) {
      const name = nonEmpty('CertificateRequest: authority', list.vec16());
      checkDistinguishedName(name);
      certificateAuthorities.push(name);
    }
    return { certificateTypes, signatureAlgorithms, certificateAuthorities };
  });
}

/** Throws `RangeError` when a list does not fit its length field. */
export function encodeCertificateRequest(message: CertificateRequest): Uint8Array {
  const writer = new Writer();
  writer.vec8(Uint8Array.from(message.certificateTypes));
  writer.vec16(() => {
    for (const scheme of message.signatureAlgorithms) writer.u16(scheme);
  });
  writer.vec16(() => {
    for (const name of message.certificateAuthorities) writer.vec16(name);
  });
  return writer.finish();
}
