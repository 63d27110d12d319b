import { Writer } from '../../bytes/writer.ts';
import { TlsAlertError } from '../alert.ts';
import { nonEmpty, parsing } from './parsing.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc6066#section-8 | RFC 6066 §8}; only OCSP is defined. */
export interface CertificateStatus {
  /** DER of an OCSPResponse, not empty. A view of the body when parsed. */
  readonly ocspResponse: Uint8Array;
}

// struct {
//   CertificateStatusType status_type;          ocsp(1)
//   opaque OCSPResponse<1..2^24-1>;
// } CertificateStatus;

/** Throws `decode_error`, or `illegal_parameter` for a status type nobody asked for. */
export function parseCertificateStatus(body: Uint8Array): CertificateStatus {
  return parsing('CertificateStatus', body, (reader) => {
    if (reader.u8() !== ocsp) {
      throw new TlsAlertError('illegal_parameter', 'CertificateStatus: status type is not ocsp');
    }
    return { ocspResponse: nonEmpty('CertificateStatus', reader.vec24()) };
  });
}

export function encodeCertificateStatus(message: CertificateStatus): Uint8Array {
  return new Writer().u8(ocsp).vec24(message.ocspResponse).finish();
}

const ocsp = 1;
