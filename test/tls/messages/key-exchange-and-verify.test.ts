import { expect } from 'chai';
import {
  encodeCertificateVerify,
  parseCertificateVerify,
} from '../../../src/tls/messages/certificate-verify.ts';
import {
  encodeClientKeyExchange,
  parseClientKeyExchange,
} from '../../../src/tls/messages/client-key-exchange.ts';
import { encodeFinished, parseFinished } from '../../../src/tls/messages/finished.ts';
import {
  encodeNewSessionTicket,
  parseNewSessionTicket,
} from '../../../src/tls/messages/new-session-ticket.ts';
import { bytesOf, describeCodec } from '../../support/codec-suite.ts';

describe('CertificateVerify (RFC 5246 §7.4.8)', () => {
  describeCodec({
    parse: parseCertificateVerify,
    encode: encodeCertificateVerify,
    examples: [
      {
        name: 'a signature',
        bytes: bytesOf('0403 0002 3000'),
        value: { scheme: 0x0403, signature: bytesOf('3000') },
      },
    ],
    malformed: [
      { name: 'a bare signature (TLS 1.1)', bytes: bytesOf('0002 3000'), alert: 'decode_error' },
    ],
  });
});

describe('ClientKeyExchange (RFC 8422 §5.7)', () => {
  describeCodec({
    parse: parseClientKeyExchange,
    encode: encodeClientKeyExchange,
    examples: [{ name: 'a share', bytes: bytesOf('02 0400'), value: { point: bytesOf('0400') } }],
    malformed: [
      { name: 'an implicit (empty) share', bytes: bytesOf('00'), alert: 'decode_error' },
      { name: 'no body', bytes: bytesOf(), alert: 'decode_error' },
    ],
  });
});

describe('Finished (RFC 5246 §7.4.9)', () => {
  const verifyData = bytesOf('00'.repeat(11), '01');
  describeCodec({
    parse: parseFinished,
    encode: encodeFinished,
    examples: [{ name: 'verify_data', bytes: verifyData, value: { verifyData } }],
    malformed: [
      { name: '36 bytes (SSL 3.0)', bytes: new Uint8Array(36), alert: 'decode_error' },
      { name: '32 bytes (TLS 1.3)', bytes: new Uint8Array(32), alert: 'decode_error' },
    ],
  });

  it('does not write verify_data of another length', () => {
    expect(() => encodeFinished({ verifyData: new Uint8Array(11) })).to.throw(RangeError);
  });
});

describe('NewSessionTicket (RFC 5077 §3.3)', () => {
  describeCodec({
    parse: parseNewSessionTicket,
    encode: encodeNewSessionTicket,
    examples: [
      {
        name: 'a ticket',
        bytes: bytesOf('00001c20 0003 aabbcc'),
        value: { lifetimeHintSeconds: 7200, ticket: bytesOf('aabbcc') },
      },
      {
        name: 'an empty ticket with the longest hint',
        bytes: bytesOf('ffffffff 0000'),
        value: { lifetimeHintSeconds: 0xffffffff, ticket: bytesOf() },
      },
    ],
    malformed: [
      { name: 'a ticket without hint', bytes: bytesOf('0003 aabbcc'), alert: 'decode_error' },
    ],
  });
});
