import { expect } from 'chai';
import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ClientConfig, ClientSession } from '../../../src/tls/config.ts';
import { parseClientHello } from '../../../src/tls/messages/client-hello.ts';
import { ExtensionType, NamedGroup, SignatureScheme } from '../../../src/tls/registries.ts';
import { clientConfig, EngineSide } from '../../support/engine-driver.ts';

const anyOcspResponse = {
  statusType: 1,
  responderIdList: Buffer.alloc(0),
  requestExtensions: Buffer.alloc(0),
};

const session: ClientSession = {
  ticket: new Uint8Array(50),
  cipherSuite: cipherSuites[0]!,
  masterSecret: new Uint8Array(48),
  serverName: 'server.test',
  createdAt: new Date('2029-12-31T23:00:00Z'),
  lifetimeHintSeconds: 7200,
  peerCertificates: [new Uint8Array(100)],
  credential: undefined,
};

function offered(config: Partial<ClientConfig> = {}) {
  const record = new EngineSide(createClientHandshake(clientConfig(config))).start();
  return { record, hello: parseClientHello(record.subarray(9)), messageBytes: record.length - 5 };
}

describe('ClientHello of our client (RFC 5246 §7.4.1.2, appendix E.1)', () => {
  it('is one record of version TLS 1.0 holding one message', () => {
    const { record } = offered();
    expect(record.subarray(0, 3).toString('hex')).to.equal('160301');
    expect(record.readUInt16BE(3)).to.equal(record.length - 5);
    expect(record.readUIntBE(6, 3)).to.equal(record.length - 9);
  });

  it('offers what the configuration allows, in its order', () => {
    const { hello } = offered({
      namedGroups: [NamedGroup.x25519, NamedGroup.secp256r1],
      signatureSchemes: [SignatureScheme.ed25519, SignatureScheme.ecdsa_secp256r1_sha256],
      applicationProtocols: ['h2', 'http/1.1'],
    });
    expect(hello).to.deep.include({
      legacyVersion: 0x0303,
      cipherSuites: [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8],
      compressionMethods: [0],
    });
    expect(hello.sessionId).to.have.length(0);
    expect(hello.extensions).to.deep.include({
      serverName: 'server.test',
      supportedGroups: [29, 23],
      ecPointFormats: [0],
      signatureAlgorithms: [0x0807, 0x0403],
      applicationProtocols: ['h2', 'http/1.1'],
      extendedMasterSecret: true,
    });
    expect(hello.extensions.statusRequest).to.deep.equal(anyOcspResponse);
    expect(hello.extensions.sessionTicket).to.have.length(0);
    expect(hello.extensions.renegotiationInfo).to.have.length(0);
  });

  it('leaves out what is not configured', () => {
    const { hello } = offered({ sessionTickets: false });
    expect(hello.extensionTypes).to.not.include.members([
      ExtensionType.session_ticket,
      ExtensionType.application_layer_protocol_negotiation,
      ExtensionType.supported_versions,
    ]);
  });

  it('asks for a staple, with a session, too (RFC 6066 §8)', () => {
    const { hello } = offered({ session });
    expect(hello.sessionId).to.have.length(32);
    expect(hello.extensions.statusRequest).to.deep.equal(anyOcspResponse);
  });

  it('is new every time', () => {
    expect(offered().hello.random).to.not.deep.equal(offered().hello.random);
  });
});

describe('padding of ClientHello (RFC 7685 §4)', () => {
  const lengths = new Set<number>();
  for (let length = 1; length <= 230; length += 1) {
    // Two names: one alone has at most 255 bytes.
    const names = ['p'.repeat(length), 'q'.repeat(200), 'r'.repeat(80)].slice(
      0,
      length % 3 === 0 ? 1 : 3,
    );
    lengths.add(offered({ applicationProtocols: names }).messageBytes);
  }
  for (let length = 1; length <= 250; length += 1) {
    lengths.add(
      offered({ applicationProtocols: ['p'.repeat(length), 'q'.repeat(120)] }).messageBytes,
    );
  }

  it('keeps it out of the lengths that make some servers hang', () => {
    const hanging = [...lengths].filter((length) => length >= 256 && length < 512);
    expect(hanging).to.deep.equal([]);
  });

  it('is there only when needed', () => {
    expect(Math.min(...lengths)).to.be.lessThan(256);
    expect(lengths.has(512)).to.equal(true);
    expect(offered().hello.extensionTypes).to.not.include(ExtensionType.padding);
  });
});

describe('configuration of a client', () => {
  for (const [name, config] of [
    ['no suite', { cipherSuites: [] }],
    ['no group', { namedGroups: [] }],
    ['no scheme', { signatureSchemes: [] }],
    ['an empty protocol name', { applicationProtocols: [''] }],
    ['a protocol name that is too long', { applicationProtocols: ['x'.repeat(256)] }],
    ['a protocol name that is not bytes', { applicationProtocols: ['h\u20ac'] }],
    ['a reserved exporter label', { exporters: [{ label: 'key expansion', length: 4 }] }],
  ] as const) {
    it(`is refused with ${name}`, () => {
      expect(() => createClientHandshake(clientConfig(config))).to.throw(RangeError);
    });
  }
});
