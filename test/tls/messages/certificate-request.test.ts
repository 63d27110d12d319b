import { expect } from 'chai';
import {
  encodeCertificateRequest,
  parseCertificateRequest,
} from '../../../src/tls/messages/certificate-request.ts';
import { alertOf, bytesOf, describeCodec } from '../../support/codec-suite.ts';

const start = '02 40 01  0004 0403 0804';
const withAuthority = (name: Uint8Array): Uint8Array =>
  encodeCertificateRequest({
    certificateTypes: [1],
    signatureAlgorithms: [0x0403],
    certificateAuthorities: [name],
  });
const set = '310d 300b 0603550403 0c04 726f6f74';

describe('CertificateRequest (RFC 5246 §7.4.4)', () => {
  describeCodec({
    parse: parseCertificateRequest,
    encode: encodeCertificateRequest,
    examples: [
      {
        name: 'a request to any authority',
        bytes: bytesOf(start, '0000'),
        value: {
          certificateTypes: [64, 1],
          signatureAlgorithms: [0x0403, 0x0804],
          certificateAuthorities: [],
        },
      },
      {
        name: 'a request naming two authorities',
        bytes: bytesOf(start, '0017 0011 300f', set, '0002 3000'),
        value: {
          certificateTypes: [64, 1],
          signatureAlgorithms: [0x0403, 0x0804],
          certificateAuthorities: [bytesOf('300f', set), bytesOf('3000')],
        },
      },
    ],
    malformed: [
      { name: 'no type', bytes: bytesOf('00 0002 0403 0000'), alert: 'decode_error' },
      { name: 'no scheme', bytes: bytesOf('01 40 0000 0000'), alert: 'decode_error' },
      { name: 'half a scheme', bytes: bytesOf('01 40 0001 04 0000'), alert: 'decode_error' },
      { name: 'an empty name', bytes: bytesOf(start, '0002 0000'), alert: 'decode_error' },
    ],
  });

  const notNames = [
    { name: 'a SET', der: bytesOf('3100') },
    { name: 'a SEQUENCE of something else', der: bytesOf('3002 0500') },
    { name: 'an indefinite length', der: bytesOf('3080 0000') },
    { name: 'a length that is not minimal', der: bytesOf('30810f', set) },
    { name: 'a two-byte length below 256', der: bytesOf('3082000f', set) },
    { name: 'a three-byte length', der: bytesOf('308300000f', set) },
    { name: 'a byte behind', der: bytesOf('300f', set, '00') },
    { name: 'a set longer than the name', der: bytesOf('3002 3101') },
    { name: 'nothing but a tag', der: bytesOf('30') },
  ];
  for (const { name, der } of notNames) {
    it(`refuses ${name} as an authority's name`, () => {
      expect(alertOf(() => parseCertificateRequest(withAuthority(der)))).to.equal('decode_error');
    });
  }

  for (const { name, sets } of [
    { name: '8', sets: 9 },
    { name: '16', sets: 40 },
  ]) {
    it(`reads a name with a length of ${name} bits`, () => {
      const body = bytesOf(...Array.from({ length: sets }, () => set));
      const length = sets === 9 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
      const der = bytesOf('30', length, body);
      expect(parseCertificateRequest(withAuthority(der)).certificateAuthorities[0]).to.deep.equal(
        Buffer.from(der),
      );
    });
  }
});
