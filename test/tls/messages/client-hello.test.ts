import { expect } from 'chai';
import fc from 'fast-check';
import {
  clientExtensionTypes,
  noClientExtensions,
  type ClientExtensions,
} from '../../../src/tls/extensions/client-extensions.ts';
import {
  encodeClientHello,
  parseClientHello,
  type ClientHello,
  type ReceivedClientHello,
} from '../../../src/tls/messages/client-hello.ts';
import { ProtocolVersion } from '../../../src/tls/registries.ts';
import {
  bareHello,
  browserHello,
  clientHello,
  helloRandom,
  toolHello,
} from '../../support/client-hellos.ts';
import { bytesOf, describeCodec, plain, type CodecExample } from '../../support/codec-suite.ts';

const minimal: ClientHello = {
  legacyVersion: 0x0303,
  random: helloRandom,
  sessionId: bytesOf(),
  cipherSuites: [0xc02b],
  compressionMethods: [0],
  extensions: noClientExtensions,
};

/** Where the extension block of a hello made by {@link clientHello} begins. */
const blockStart = (sessionId: number, suites: number): number =>
  2 + 32 + 1 + sessionId + 2 + 2 * suites + 1 + 1;

const browserSuites = [
  0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
  0x009c, 0x009d, 0x002f, 0x0035,
];

const examples: readonly CodecExample<ReceivedClientHello>[] = [
  {
    name: 'a hello without extension block',
    bytes: clientHello({ extensions: undefined }),
    value: { ...minimal, extensionsPresent: false, extensionTypes: [] },
  },
  {
    name: 'a hello with an empty extension block',
    bytes: clientHello({ extensions: [] }),
    value: { ...minimal, extensionsPresent: true, extensionTypes: [] },
    alsoEndsAt: [blockStart(0, 1)],
    readOnly: true,
  },
  {
    name: 'our own extensions',
    bytes: clientHello({
      sessionId: '0102',
      extensions: [
        ['0000', '0004 00 0001 61'],
        ['0017', ''],
        ['ff01', '00'],
        ['000a', '0006 0017 001d 0018'],
        ['000b', '01 00'],
        ['0023', 'aabb'],
        ['0010', '0003 02 6832'],
        ['0005', '01 0000 0000'],
        ['000d', '0004 0403 0804'],
        ['0032', '0002 0401'],
        ['002b', '04 0304 0303'],
        ['0015', '000000'],
      ],
    }),
    value: {
      ...minimal,
      sessionId: bytesOf('0102'),
      extensions: {
        serverName: 'a',
        extendedMasterSecret: true,
        renegotiationInfo: bytesOf(),
        supportedGroups: [23, 29, 24],
        ecPointFormats: [0],
        sessionTicket: bytesOf('aabb'),
        applicationProtocols: ['h2'],
        statusRequest: {
          statusType: 1,
          responderIdList: bytesOf(),
          requestExtensions: bytesOf(),
        },
        signatureAlgorithms: [0x0403, 0x0804],
        signatureAlgorithmsCert: [0x0401],
        supportedVersions: [0x0304, 0x0303],
        padding: 3,
      },
      extensionsPresent: true,
      extensionTypes: [0, 23, 0xff01, 10, 11, 35, 16, 5, 13, 50, 43, 21],
    },
    alsoEndsAt: [blockStart(2, 1)],
  },
  {
    name: 'a browser, GREASE, hybrid shares and padding included',
    bytes: browserHello('www.example.org'),
    value: {
      ...minimal,
      sessionId: bytesOf('11'.repeat(32)),
      cipherSuites: browserSuites,
      extensions: {
        serverName: 'www.example.org',
        extendedMasterSecret: true,
        renegotiationInfo: bytesOf(),
        supportedGroups: [0x4a4a, 0x11ec, 29, 23, 24],
        ecPointFormats: [0],
        sessionTicket: bytesOf(),
        applicationProtocols: ['h2', 'http/1.1'],
        statusRequest: {
          statusType: 1,
          responderIdList: bytesOf(),
          requestExtensions: bytesOf(),
        },
        signatureAlgorithms: [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
        supportedVersions: [0x7a7a, 0x0304, 0x0303],
        padding: 31,
      },
      extensionsPresent: true,
      extensionTypes: [
        0x8a8a, 0, 23, 0xff01, 10, 11, 35, 16, 5, 13, 18, 51, 45, 43, 27, 0x4469, 0xfe0d, 0xdada,
        21,
      ],
    },
    alsoEndsAt: [blockStart(32, 16)],
    readOnly: true,
  },
];

describe('ClientHello (RFC 5246 §7.4.1.2)', () => {
  const oneExtension = (type: string, body: string): Uint8Array =>
    clientHello({ extensions: [[type, body]] });

  describeCodec({
    parse: parseClientHello,
    encode: encodeClientHello,
    examples,
    malformed: [
      {
        name: 'a session_id of 33 bytes',
        bytes: clientHello({ sessionId: '00'.repeat(33), extensions: undefined }),
        alert: 'decode_error',
      },
      {
        name: 'no cipher suite',
        bytes: clientHello({ cipherSuites: '', extensions: undefined }),
        alert: 'decode_error',
      },
      {
        name: 'half a cipher suite',
        bytes: clientHello({ cipherSuites: 'c02bc0', extensions: undefined }),
        alert: 'decode_error',
      },
      {
        name: '257 cipher suites',
        bytes: clientHello({ cipherSuites: 'c02b'.repeat(257), extensions: undefined }),
        alert: 'illegal_parameter',
      },
      {
        name: 'no compression method',
        bytes: clientHello({ compressionMethods: '', extensions: undefined }),
        alert: 'decode_error',
      },
      {
        name: 'compression methods without null',
        bytes: clientHello({ compressionMethods: '01', extensions: undefined }),
        alert: 'illegal_parameter',
      },
      {
        name: 'an extension twice',
        bytes: clientHello({
          extensions: [
            ['0017', ''],
            ['0017', ''],
          ],
        }),
        alert: 'decode_error',
      },
      {
        name: 'an unknown extension twice',
        bytes: clientHello({
          extensions: [
            ['8a8a', ''],
            ['0017', ''],
            ['8a8a', '00'],
          ],
        }),
        alert: 'decode_error',
      },
      {
        name: '65 extensions',
        bytes: clientHello({
          extensions: Array.from({ length: 65 }, (_, index) => [(0x2000 + index).toString(16), '']),
        }),
        alert: 'illegal_parameter',
      },
      {
        name: 'half an extension type',
        bytes: bytesOf(clientHello({ extensions: undefined }), '0001 00'),
        alert: 'decode_error',
      },
      {
        name: 'bytes behind an extension value',
        bytes: oneExtension('000a', '0002 0017 00'),
        alert: 'decode_error',
      },
      {
        name: 'an extended_master_secret with a body',
        bytes: oneExtension('0017', '00'),
        alert: 'decode_error',
      },
    ],
  });

  it('takes 256 cipher suites, and 64 extensions', () => {
    const hello = parseClientHello(
      clientHello({
        cipherSuites: 'c02b'.repeat(256),
        extensions: Array.from({ length: 64 }, (_, index) => [(0x2000 + index).toString(16), '']),
      }),
    );
    expect(hello.cipherSuites).to.have.length(256);
    expect(hello.extensionTypes).to.have.length(64);
  });

  it('reads an OpenSSL-like hello with signalling suites and SHA-1 schemes', () => {
    const hello = parseClientHello(toolHello('host.example'));
    expect(hello.cipherSuites).to.include(0x00ff);
    expect(hello.extensions.ecPointFormats).to.deep.equal([0, 1, 2]);
    expect(hello.extensions.signatureAlgorithms).to.include(0x0203);
    expect(hello.extensions.renegotiationInfo).to.equal(undefined);
  });

  it('reads a hello of before extensions', () => {
    const hello = parseClientHello(bareHello());
    expect(hello.extensionsPresent).to.equal(false);
    expect(hello.extensions).to.deep.equal(noClientExtensions);
  });

  for (const version of ['0301', '0302', '0304', '03ff', '0500', '0000']) {
    it(`leaves version ${version} to be judged by others`, () => {
      const hello = parseClientHello(clientHello({ version, extensions: [] }));
      expect(hello.legacyVersion).to.equal(Number.parseInt(version, 16));
    });
  }

  it('reads whatever it writes', () => {
    fc.assert(
      fc.property(helloArbitrary, (hello) => {
        const received = parseClientHello(encodeClientHello(hello));
        const extensionTypes = clientExtensionTypes(hello.extensions);
        expect(plain(received)).to.deep.equal(
          plain({ ...hello, extensionsPresent: extensionTypes.length > 0, extensionTypes }),
        );
      }),
    );
  });

  it('does not write what a field cannot hold', () => {
    const tooLong = { ...minimal, cipherSuites: Array.from({ length: 0x8000 }, () => 1) };
    expect(() => encodeClientHello(tooLong)).to.throw(RangeError);
  });
});

const code = fc.integer({ min: 0, max: 0xffff });
const codeList = fc.array(code, { minLength: 1, maxLength: 40 });
const bytes = fc.uint8Array({ maxLength: 64 });
const extensionsArbitrary: fc.Arbitrary<ClientExtensions> = fc
  .record(
    {
      serverName: fc.domain(),
      statusRequest: fc.record({
        statusType: fc.constant(1),
        responderIdList: bytes,
        requestExtensions: bytes,
      }),
      supportedGroups: codeList,
      ecPointFormats: fc.constantFrom([0], [1, 0], [0, 1, 2]),
      signatureAlgorithms: codeList,
      signatureAlgorithmsCert: codeList,
      applicationProtocols: fc.array(
        fc
          .uint8Array({ minLength: 1, maxLength: 255 })
          .map((name) => Buffer.from(name).toString('latin1')),
        { minLength: 1, maxLength: 8 },
      ),
      sessionTicket: bytes,
      supportedVersions: codeList,
      renegotiationInfo: bytes,
      padding: fc.integer({ min: 0, max: 512 }),
    },
    { requiredKeys: [] },
  )
  .chain((extensions) =>
    fc.boolean().map((extendedMasterSecret) => ({ ...extensions, extendedMasterSecret })),
  );
const helloArbitrary: fc.Arbitrary<ClientHello> = fc.record({
  legacyVersion: fc.constantFrom(...Object.values(ProtocolVersion), 0x0500),
  random: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  sessionId: fc.uint8Array({ maxLength: 32 }),
  cipherSuites: fc.array(code, { minLength: 1, maxLength: 256 }),
  compressionMethods: fc.constantFrom([0], [1, 0]),
  extensions: extensionsArbitrary,
});
