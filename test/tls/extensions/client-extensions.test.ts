import { expect } from 'chai';
import type { AlertName } from '../../../src/tls/alert.ts';
import type { ClientExtensions } from '../../../src/tls/extensions/client-extensions.ts';
import { clientExtensionTypes } from '../../../src/tls/extensions/client-extensions.ts';
import { parseClientHello } from '../../../src/tls/messages/client-hello.ts';
import { clientHello } from '../../support/client-hellos.ts';
import { alertOf, bytesOf, plain } from '../../support/codec-suite.ts';

interface Case {
  readonly name: string;
  readonly body: string;
  /** What is read, or the alert raised. */
  readonly reads?: Partial<ClientExtensions>;
  readonly alert?: AlertName;
}

const hex = (text: string): string => Buffer.from(text).toString('hex');
const u16 = (value: number): string => value.toString(16).padStart(4, '0');
const hostName = (name: string): string =>
  u16(name.length + 3) + '00' + u16(name.length) + hex(name);
const label63 = 'a'.repeat(63);

const tables: readonly { title: string; type: string; cases: readonly Case[] }[] = [
  {
    title: 'server_name (RFC 6066 §3)',
    type: '0000',
    cases: [
      { name: 'a name', body: hostName('a.example'), reads: { serverName: 'a.example' } },
      { name: 'upper case', body: hostName('A.ExamPle'), reads: { serverName: 'a.example' } },
      { name: 'one label', body: hostName('localhost'), reads: { serverName: 'localhost' } },
      {
        name: 'an A-label',
        body: hostName('xn--bcher-kva.example'),
        reads: { serverName: 'xn--bcher-kva.example' },
      },
      { name: 'an underscore', body: hostName('a_b.test'), reads: { serverName: 'a_b.test' } },
      {
        name: '253 characters',
        body: hostName(`${label63}.${label63}.${label63}.${'a'.repeat(61)}`),
        reads: { serverName: `${label63}.${label63}.${label63}.${'a'.repeat(61)}` },
      },
      {
        name: '254 characters',
        body: hostName(`${label63}.${label63}.${label63}.${'a'.repeat(62)}`),
        alert: 'illegal_parameter',
      },
      { name: 'a label of 64', body: hostName(`${label63}a.test`), alert: 'illegal_parameter' },
      { name: 'a trailing dot', body: hostName('a.example.'), alert: 'illegal_parameter' },
      { name: 'an empty label', body: hostName('a..example'), alert: 'illegal_parameter' },
      { name: 'a NUL', body: hostName('a\0.example'), alert: 'illegal_parameter' },
      { name: 'a newline at the end', body: hostName('a.example\n'), alert: 'illegal_parameter' },
      { name: 'UTF-8', body: '0006 00 0003 61c3bc', alert: 'illegal_parameter' },
      { name: 'an IPv4 address', body: hostName('192.0.2.1'), alert: 'illegal_parameter' },
      { name: 'an IPv6 address', body: hostName('2001:db8::1'), alert: 'illegal_parameter' },
      { name: 'two names', body: '0008 00 0001 61 00 0001 62', alert: 'illegal_parameter' },
      { name: 'half a second name', body: '0006 00 0001 61 00 00', alert: 'decode_error' },
      { name: 'another name type', body: '0004 01 0001 61', alert: 'decode_error' },
      {
        name: 'a second name of another type',
        body: '0008 00 0001 61 01 0001 62',
        alert: 'decode_error',
      },
      { name: 'an empty name', body: '0003 00 0000', alert: 'decode_error' },
      { name: 'an empty list', body: '0000', alert: 'decode_error' },
      { name: 'no body', body: '', alert: 'decode_error' },
    ],
  },
  {
    title: 'status_request (RFC 6066 §8)',
    type: '0005',
    cases: [
      {
        name: 'ocsp with responders and extensions',
        body: '01 0003 000161 0001 30',
        reads: {
          statusRequest: {
            statusType: 1,
            responderIdList: bytesOf('000161'),
            requestExtensions: bytesOf('30'),
          },
        },
      },
      {
        name: 'an unknown status type, whatever follows',
        body: '02 ffff',
        reads: {
          statusRequest: {
            statusType: 2,
            responderIdList: bytesOf(),
            requestExtensions: bytesOf(),
          },
        },
      },
      { name: 'ocsp cut short', body: '01 0000', alert: 'decode_error' },
      { name: 'ocsp with leftovers', body: '01 0000 0000 00', alert: 'decode_error' },
      { name: 'no body', body: '', alert: 'decode_error' },
    ],
  },
  {
    title: 'supported_groups (RFC 8422 §5.1.1)',
    type: '000a',
    cases: [
      { name: 'groups', body: '0004 0017 fafa', reads: { supportedGroups: [23, 0xfafa] } },
      { name: 'an empty list', body: '0000', alert: 'decode_error' },
      { name: 'half a group', body: '0003 001700', alert: 'decode_error' },
      { name: 'no body', body: '', alert: 'decode_error' },
    ],
  },
  {
    title: 'ec_point_formats (RFC 8422 §5.1.2)',
    type: '000b',
    cases: [
      { name: 'uncompressed', body: '01 00', reads: { ecPointFormats: [0] } },
      { name: 'uncompressed last', body: '02 01 00', reads: { ecPointFormats: [1, 0] } },
      { name: 'no uncompressed', body: '02 01 02', alert: 'illegal_parameter' },
      { name: 'an empty list', body: '00', alert: 'decode_error' },
      { name: 'leftovers', body: '01 00 00', alert: 'decode_error' },
    ],
  },
  {
    title: 'signature_algorithms (RFC 5246 §7.4.1.4.1)',
    type: '000d',
    cases: [
      { name: 'schemes', body: '0004 0403 0a0a', reads: { signatureAlgorithms: [0x0403, 0x0a0a] } },
      { name: 'an empty list', body: '0000', alert: 'decode_error' },
      { name: 'half a scheme', body: '0003 040308', alert: 'decode_error' },
    ],
  },
  {
    title: 'signature_algorithms_cert (RFC 8446 §4.2.3)',
    type: '0032',
    cases: [
      { name: 'schemes', body: '0002 0401', reads: { signatureAlgorithmsCert: [0x0401] } },
      { name: 'an empty list', body: '0000', alert: 'decode_error' },
    ],
  },
  {
    title: 'application_layer_protocol_negotiation (RFC 7301 §3.1)',
    type: '0010',
    cases: [
      {
        name: 'names, a GREASE one among them',
        body: '0007 02 fafa 03 6832ff',
        reads: { applicationProtocols: ['\xfa\xfa', 'h2\xff'] },
      },
      { name: 'an empty list', body: '0000', alert: 'decode_error' },
      { name: 'an empty name', body: '0001 00', alert: 'decode_error' },
      { name: 'an empty name behind another', body: '0004 02 6832 00', alert: 'decode_error' },
      { name: 'a name longer than the list', body: '0003 03 6832', alert: 'decode_error' },
      { name: 'leftovers', body: '0003 02 6832 00', alert: 'decode_error' },
    ],
  },
  {
    title: 'padding (RFC 7685 §3)',
    type: '0015',
    cases: [
      { name: 'none', body: '', reads: { padding: 0 } },
      { name: 'bytes that are not zero', body: '01ff', reads: { padding: 2 } },
    ],
  },
  {
    title: 'extended_master_secret (RFC 7627 §5.1)',
    type: '0017',
    cases: [
      { name: 'the empty body', body: '', reads: { extendedMasterSecret: true } },
      { name: 'a body', body: '01', alert: 'decode_error' },
    ],
  },
  {
    title: 'session_ticket (RFC 5077 §3.2)',
    type: '0023',
    cases: [
      { name: 'a request for one', body: '', reads: { sessionTicket: bytesOf() } },
      { name: 'a ticket', body: 'aabb', reads: { sessionTicket: bytesOf('aabb') } },
    ],
  },
  {
    title: 'supported_versions (RFC 8446 §4.2.1)',
    type: '002b',
    cases: [
      { name: 'versions', body: '04 0304 0303', reads: { supportedVersions: [0x0304, 0x0303] } },
      { name: 'an empty list', body: '00', alert: 'decode_error' },
      { name: 'half a version', body: '03 030403', alert: 'decode_error' },
      { name: 'a selected version', body: '0303', alert: 'decode_error' },
    ],
  },
  {
    title: 'renegotiation_info (RFC 5746 §3.2)',
    type: 'ff01',
    cases: [
      { name: 'an initial handshake', body: '00', reads: { renegotiationInfo: bytesOf() } },
      { name: 'a renegotiation', body: '02 aabb', reads: { renegotiationInfo: bytesOf('aabb') } },
      { name: 'no body', body: '', alert: 'decode_error' },
      { name: 'leftovers', body: '00 00', alert: 'decode_error' },
    ],
  },
];

for (const { title, type, cases } of tables) {
  describe(`${title} in a ClientHello`, () => {
    for (const { name, body, reads, alert } of cases) {
      const bytes = clientHello({ extensions: [[type, body]] });
      if (alert === undefined) {
        it(`reads ${name}`, () => {
          expect(plain(parseClientHello(bytes).extensions)).to.deep.equal(
            plain({ extendedMasterSecret: false, ...reads }),
          );
        });
      } else {
        it(`refuses ${name} with ${alert}`, () => {
          expect(alertOf(() => parseClientHello(bytes))).to.equal(alert);
        });
      }
    }
  });
}

describe('clientExtensionTypes', () => {
  it('lists what would be sent, in order', () => {
    expect(
      clientExtensionTypes({
        extendedMasterSecret: true,
        padding: 0,
        sessionTicket: bytesOf(),
        serverName: undefined,
        supportedGroups: [23],
      }),
    ).to.deep.equal([23, 10, 35, 21]);
  });

  it('lists nothing when nothing would be sent', () => {
    expect(clientExtensionTypes({ extendedMasterSecret: false })).to.deep.equal([]);
  });
});
