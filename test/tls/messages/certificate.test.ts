import { expect } from 'chai';
import { encodeCertificate, parseCertificate } from '../../../src/tls/messages/certificate.ts';
import { bytesOf, describeCodec } from '../../support/codec-suite.ts';

const chainOf = (length: number): Uint8Array =>
  encodeCertificate({ certificates: Array.from({ length }, () => Uint8Array.of(0x30)) });

describe('Certificate (RFC 5246 §7.4.2)', () => {
  describeCodec({
    parse: parseCertificate,
    encode: encodeCertificate,
    examples: [
      { name: 'an empty list', bytes: bytesOf('000000'), value: { certificates: [] } },
      {
        name: 'a chain of two',
        bytes: bytesOf('000009 000002 3000 000001 31'),
        value: { certificates: [bytesOf('3000'), bytesOf('31')] },
      },
    ],
    malformed: [
      { name: 'an empty certificate', bytes: bytesOf('000003 000000'), alert: 'decode_error' },
      {
        name: 'a certificate longer than the list',
        bytes: bytesOf('000004 000002 30'),
        alert: 'decode_error',
      },
      { name: 'half a length', bytes: bytesOf('000002 0000'), alert: 'decode_error' },
      { name: 'eleven certificates', bytes: chainOf(11), alert: 'illegal_parameter' },
      {
        name: 'a certificate over 32 KiB',
        bytes: encodeCertificate({ certificates: [new Uint8Array(32 * 1024 + 1)] }),
        alert: 'illegal_parameter',
      },
    ],
  });

  it('takes ten certificates, and one of 32 KiB', () => {
    expect(parseCertificate(chainOf(10)).certificates).to.have.length(10);
    const large = encodeCertificate({ certificates: [new Uint8Array(32 * 1024)] });
    expect(parseCertificate(large).certificates).to.have.length(1);
  });
});
