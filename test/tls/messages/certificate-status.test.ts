import {
  encodeCertificateStatus,
  parseCertificateStatus,
} from '../../../src/tls/messages/certificate-status.ts';
import { bytesOf, describeCodec } from '../../support/codec-suite.ts';

describe('CertificateStatus (RFC 6066 §8)', () => {
  describeCodec({
    parse: parseCertificateStatus,
    encode: encodeCertificateStatus,
    examples: [
      {
        name: 'an OCSP response',
        bytes: bytesOf('01 000003 30010a'),
        value: { ocspResponse: bytesOf('30010a') },
      },
    ],
    malformed: [
      {
        name: 'ocsp_multi (RFC 6961)',
        bytes: bytesOf('02 000003 30010a'),
        alert: 'illegal_parameter',
      },
      { name: 'an empty response', bytes: bytesOf('01 000000'), alert: 'decode_error' },
    ],
  });
});
