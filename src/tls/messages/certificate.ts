import { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import { nonEmpty, parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2 | RFC 5246 §7.4.2}. */
export interface Certificate {
  /** DER, leaf first; empty when a client has none to show. Views of the body when parsed. */
  readonly certificates: readonly Uint8Array[];
}

// opaque ASN.1Cert<1..2^24-1>;
// struct { ASN.1Cert certificate_list<0..2^24-1>; } Certificate;

/** Throws `decode_error`, or `illegal_parameter` over our limits. */
export function parseCertificate(body: Uint8Array): Certificate {
  return parsing('Certificate', body, (reader) => {
    const list = reader.vec24();
    const certificates: Uint8Array[] = [];
    while (list.remaining > 0) {
      const certificate = nonEmpty('Certificate', list.vec24());
      if (certificate.length > maxCertificateBytes) {
        throw new TlsAlertError('illegal_parameter', 'Certificate: certificate too large');
      }
      certificates.push(certificate);
      if (certificates.length > maxChainLength) {
        throw new TlsAlertError('illegal_parameter', 'Certificate: chain too long');
      }
    }
    return { certificates };
  });
}

export function encodeCertificate(message: Certificate): Uint8Array {
  const writer = new Writer();
  writer.vec24(() => {
    for (const certificate of message.certificates) writer.vec24(certificate);
  });
  return writer.finish();
}

/** A leaf, more intermediates than any path we build, and room for stray roots. */
const maxChainLength = 10;
/** Far above real certificates; bounds what the path validation is given to parse. */
const maxCertificateBytes = 32 * 1024;
