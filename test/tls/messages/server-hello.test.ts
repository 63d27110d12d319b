import fc from 'fast-check';
import { expect } from 'chai';
import { noServerExtensions } from '../../../src/tls/extensions/server-extensions.ts';
import {
  encodeServerHello,
  parseServerHello,
  type ServerHello,
} from '../../../src/tls/messages/server-hello.ts';
import { extensionBlock, helloRandom } from '../../support/client-hellos.ts';
import { bytesOf, describeCodec, plain } from '../../support/codec-suite.ts';

const minimal: ServerHello = {
  legacyVersion: 0x0303,
  random: helloRandom,
  sessionId: bytesOf(),
  cipherSuite: 0xc02f,
  compressionMethod: 0,
  extensions: noServerExtensions,
};
const minimalBytes = bytesOf('0303', helloRandom, '00 c02f 00');

const withExtensions = (...extensions: (readonly [string, string])[]): Uint8Array =>
  bytesOf(minimalBytes, extensionBlock(extensions));

describe('ServerHello (RFC 5246 §7.4.1.3)', () => {
  describeCodec({
    parse: parseServerHello,
    encode: encodeServerHello,
    examples: [
      {
        name: 'a hello without extension block',
        bytes: minimalBytes,
        value: { ...minimal, extensionsPresent: false, extensionTypes: [] },
      },
      {
        name: 'a hello with an empty extension block',
        bytes: withExtensions(),
        value: { ...minimal, extensionsPresent: true, extensionTypes: [] },
        alsoEndsAt: [minimalBytes.length],
        readOnly: true,
      },
      {
        name: 'all answers',
        bytes: withExtensions(
          ['ff01', '00'],
          ['0000', ''],
          ['000b', '01 00'],
          ['0023', ''],
          ['0005', ''],
          ['0010', '0003 02 6832'],
          ['0017', ''],
          ['002b', '0304'],
        ),
        value: {
          ...minimal,
          extensions: {
            renegotiationInfo: bytesOf(),
            serverName: true,
            ecPointFormats: [0],
            sessionTicket: true,
            statusRequest: true,
            applicationProtocol: 'h2',
            extendedMasterSecret: true,
            supportedVersion: 0x0304,
          },
          extensionsPresent: true,
          extensionTypes: [0xff01, 0, 11, 35, 5, 16, 23, 43],
        },
        alsoEndsAt: [minimalBytes.length],
      },
      {
        name: 'extensions nobody knows or a server should not send',
        bytes: withExtensions(['000a', '0002 0017'], ['fafa', 'aa'], ['000d', 'bb']),
        value: { ...minimal, extensionsPresent: true, extensionTypes: [10, 0xfafa, 13] },
        alsoEndsAt: [minimalBytes.length],
        readOnly: true,
      },
    ],
    malformed: [
      {
        name: 'a session_id of 33 bytes',
        bytes: bytesOf('0303', helloRandom, '21', '00'.repeat(33), 'c02f 00'),
        alert: 'decode_error',
      },
      {
        name: 'an extension twice',
        bytes: withExtensions(['0017', ''], ['0017', '']),
        alert: 'decode_error',
      },
      {
        name: 'a name in server_name',
        bytes: withExtensions(['0000', '00']),
        alert: 'decode_error',
      },
      { name: 'a ticket', bytes: withExtensions(['0023', 'aa']), alert: 'decode_error' },
      { name: 'a staple', bytes: withExtensions(['0005', '01']), alert: 'decode_error' },
      {
        name: 'two application protocols',
        bytes: withExtensions(['0010', '0006 02 6832 02 6833']),
        alert: 'decode_error',
      },
      {
        name: 'no application protocol',
        bytes: withExtensions(['0010', '0000']),
        alert: 'decode_error',
      },
      {
        name: 'an empty application protocol',
        bytes: withExtensions(['0010', '0001 00']),
        alert: 'decode_error',
      },
      {
        name: 'point formats without uncompressed',
        bytes: withExtensions(['000b', '01 01']),
        alert: 'illegal_parameter',
      },
      {
        name: 'a list of versions',
        bytes: withExtensions(['002b', '02 0304']),
        alert: 'decode_error',
      },
    ],
  });

  it('reads whatever it writes', () => {
    const extensions = fc.record({
      serverName: fc.boolean(),
      statusRequest: fc.boolean(),
      extendedMasterSecret: fc.boolean(),
      sessionTicket: fc.boolean(),
      applicationProtocol: fc.constantFrom('h2', 'http/1.1'),
      renegotiationInfo: fc.uint8Array({ maxLength: 24 }),
    });
    fc.assert(
      fc.property(extensions, fc.uint8Array({ maxLength: 32 }), (given, sessionId) => {
        const hello: ServerHello = { ...minimal, sessionId, extensions: given };
        expect(plain(parseServerHello(encodeServerHello(hello)))).to.deep.include(plain(hello));
      }),
    );
  });
});
