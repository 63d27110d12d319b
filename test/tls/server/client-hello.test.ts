import { expect } from 'chai';
import { AlertDescription, type AlertName } from '../../../src/tls/alert.ts';
import type { ServerConfig } from '../../../src/tls/config.ts';
import {
  parseServerHello,
  type ReceivedServerHello,
} from '../../../src/tls/messages/server-hello.ts';
import { ExtensionType, HandshakeType } from '../../../src/tls/registries.ts';
import { createServerHandshake } from '../../../src/tls/server/handshake.ts';
import {
  EngineSide,
  serverConfig,
  testIdentity,
  testTickets,
} from '../../support/engine-driver.ts';
import { PuppetClient } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');
type Changes = Parameters<PuppetClient['clientHello']>[0];

interface Row {
  readonly name: string;
  readonly config?: Partial<ServerConfig>;
  readonly hello: Changes | ((client: PuppetClient) => Uint8Array);
  /** Absent: the ClientHello is answered. */
  readonly alert?: AlertName;
}

function greet({ config, hello }: Pick<Row, 'config' | 'hello'>) {
  const server = new EngineSide(
    createServerHandshake(serverConfig({ credentials: [identity.credential], ...config })),
  );
  const client = new PuppetClient();
  server.start();
  const bytes = typeof hello === 'function' ? hello(client) : client.clientHello(hello);
  const alert = client.take(server.receive(bytes));
  return { server, client, alert };
}

function answer(config: Partial<ServerConfig>, hello: Changes): ReceivedServerHello {
  const { client } = greet({ config, hello });
  const message = client.received.find(({ type }) => type === HandshakeType.server_hello);
  return parseServerHello(message?.body ?? new Uint8Array(0));
}

function check(rows: readonly Row[]): void {
  for (const { name, config, hello, alert } of rows) {
    it(`${alert === undefined ? 'takes' : `answers ${alert} to`} ${name}`, () => {
      const { server, alert: sent } = greet({ hello, ...(config === undefined ? {} : { config }) });
      expect(server.failure?.alert).to.equal(alert);
      expect(sent).to.equal(alert === undefined ? undefined : AlertDescription[alert]);
      if (alert === undefined) expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
      else expect(server.failure).to.include({ kind: 'peer', phase: 'ExpectClientHello' });
    });
  }
}

describe('version in ClientHello (RFC 5246 appendix E.1, RFC 8446 §4.2.1, RFC 8996)', () => {
  const versions = (...supportedVersions: number[]) => ({ extensions: { supportedVersions } });
  check([
    { name: 'TLS 1.2', hello: {} },
    { name: 'a version above ours', hello: { legacyVersion: 0x0304 } },
    { name: 'a version far above ours', hello: { legacyVersion: 0x03ff } },
    { name: 'a major version above ours', hello: { legacyVersion: 0x0500 } },
    { name: 'TLS 1.1', hello: { legacyVersion: 0x0302 }, alert: 'protocol_version' },
    { name: 'TLS 1.0', hello: { legacyVersion: 0x0301 }, alert: 'protocol_version' },
    { name: 'SSL 3.0', hello: { legacyVersion: 0x0300 }, alert: 'protocol_version' },
    { name: 'a list of versions with TLS 1.2', hello: versions(0x0a0a, 0x0304, 0x0303) },
    {
      name: 'a list with TLS 1.2 under a lower version field',
      hello: { legacyVersion: 0x0301, ...versions(0x0303) },
    },
    { name: 'a list without TLS 1.2', hello: versions(0x0304), alert: 'protocol_version' },
    {
      name: 'a list without TLS 1.2, that of GREASE',
      hello: versions(0x0a0a, 0x1a1a),
      alert: 'protocol_version',
    },
    { name: 'a list of old versions', hello: versions(0x0302, 0x0301), alert: 'protocol_version' },
  ]);
});

describe('fallback signal in ClientHello (RFC 7507 §3)', () => {
  const cipherSuites = [0xc02b, 0x5600];
  check([
    { name: 'it with TLS 1.2', hello: { cipherSuites } },
    {
      name: 'it with TLS 1.1',
      hello: { cipherSuites, legacyVersion: 0x0302 },
      alert: 'inappropriate_fallback',
    },
    {
      name: 'it with a list of old versions',
      hello: { cipherSuites, extensions: { supportedVersions: [0x0302] } },
      alert: 'inappropriate_fallback',
    },
    {
      name: 'it with TLS 1.3 alone',
      hello: { cipherSuites, extensions: { supportedVersions: [0x0304] } },
      alert: 'protocol_version',
    },
  ]);
});

describe('renegotiation indication in ClientHello (RFC 5746 §3.6)', () => {
  const cipherSuites = [0xc02b, 0x00ff];
  check([
    { name: 'its absence', hello: { extensions: { renegotiationInfo: undefined } } },
    {
      name: 'one that is not empty',
      hello: { extensions: { renegotiationInfo: new Uint8Array(12) } },
      alert: 'handshake_failure',
    },
    {
      name: 'the signalling suite alone',
      hello: { cipherSuites, extensions: { renegotiationInfo: undefined } },
    },
  ]);

  it('is answered when said by the extension', () => {
    expect(answer({}, {}).extensions.renegotiationInfo).to.have.length(0);
  });

  it('is answered when said by the signalling suite', () => {
    const hello = { cipherSuites, extensions: { renegotiationInfo: undefined } };
    expect(answer({}, hello).extensions.renegotiationInfo).to.have.length(0);
  });

  it('is not answered when not said', () => {
    const { extensions } = answer({}, { extensions: { renegotiationInfo: undefined } });
    expect(extensions.renegotiationInfo).to.equal(undefined);
  });
});

describe('extended master secret in ClientHello (RFC 7627 §5.2, §5.3)', () => {
  const without = { extensions: { extendedMasterSecret: false } };
  check([
    { name: 'its absence', hello: without },
    {
      name: 'its absence where it is required',
      config: { requireExtendedMasterSecret: true },
      hello: without,
      alert: 'handshake_failure',
    },
  ]);

  for (const offered of [true, false]) {
    it(`is ${offered ? '' : 'not '}answered when ${offered ? '' : 'not '}offered`, () => {
      const { extensions } = answer({}, { extensions: { extendedMasterSecret: offered } });
      expect(extensions.extendedMasterSecret).to.equal(offered);
    });
  }

  it('is what a ticket depends on', () => {
    const tickets = testTickets();
    expect(answer({ tickets }, {}).extensions.sessionTicket).to.equal(true);
    expect(answer({ tickets }, without).extensions.sessionTicket).to.equal(false);
  });
});

describe('extensions in ClientHello and what is answered (RFC 5246 §7.4.1.4)', () => {
  check([
    {
      name: 'no extensions it could use',
      hello: {
        extensions: {
          supportedGroups: undefined,
          ecPointFormats: undefined,
          serverName: undefined,
          sessionTicket: undefined,
        },
      },
    },
    {
      name: 'point formats without the uncompressed one',
      hello: { extensions: { ecPointFormats: [1, 2] } },
      alert: 'illegal_parameter',
    },
    {
      name: 'an empty list of groups',
      hello: { extensions: { supportedGroups: [] } },
      alert: 'decode_error',
    },
    {
      name: 'groups we do not have',
      hello: { extensions: { supportedGroups: [0x0a0a, 25] } },
      alert: 'handshake_failure',
    },
    {
      name: 'no signature_algorithms',
      hello: { extensions: { signatureAlgorithms: undefined } },
      alert: 'handshake_failure',
    },
    {
      name: 'an unknown name where it is refused',
      config: { unknownServerName: 'refuse' },
      hello: { extensions: { serverName: 'unknown.test' } },
      alert: 'unrecognized_name',
    },
    {
      name: 'an unknown name where it is not',
      hello: { extensions: { serverName: 'unknown.test' } },
    },
    {
      name: 'a foreign application protocol',
      config: { applicationProtocols: ['h2'] },
      hello: { extensions: { applicationProtocols: ['h3'] } },
      alert: 'no_application_protocol',
    },
    {
      name: 'no application protocol where one is required',
      config: { applicationProtocols: ['h2'], requireApplicationProtocol: true },
      hello: {},
      alert: 'no_application_protocol',
    },
    { name: 'no null compression', hello: { compressionMethods: [1] }, alert: 'illegal_parameter' },
    { name: 'compression methods besides null', hello: { compressionMethods: [1, 0, 64] } },
    { name: 'padding of any length', hello: { extensions: { padding: 700 } } },
  ]);

  it('is the chosen application protocol and nothing not asked for', () => {
    const config = { applicationProtocols: ['h2'], tickets: testTickets() };
    const hello = {
      extensions: {
        serverName: undefined,
        ecPointFormats: undefined,
        sessionTicket: undefined,
        applicationProtocols: ['http/1.1', 'h2'],
      },
    };
    const { extensions, extensionTypes } = answer(config, hello);
    expect(extensions.applicationProtocol).to.equal('h2');
    expect(extensionTypes).to.have.members([
      ExtensionType.renegotiation_info,
      ExtensionType.application_layer_protocol_negotiation,
      ExtensionType.extended_master_secret,
    ]);
  });

  it('is an acknowledgement of the name when it was used (RFC 6066 §3)', () => {
    expect(answer({}, {}).extensions.serverName).to.equal(true);
    const unknown = answer({}, { extensions: { serverName: 'unknown.test' } });
    expect(unknown.extensions.serverName).to.equal(false);
  });

  it('is one point format when formats were listed (RFC 8422 §5.2)', () => {
    expect(
      answer({}, { extensions: { ecPointFormats: [2, 0, 1] } }).extensions.ecPointFormats,
    ).to.deep.equal([0]);
  });

  it('is no block at all when nothing was said', () => {
    const hello = {
      extensions: {
        serverName: undefined,
        ecPointFormats: undefined,
        sessionTicket: undefined,
        renegotiationInfo: undefined,
        extendedMasterSecret: false,
      },
    };
    expect(answer({}, hello).extensionsPresent).to.equal(false);
  });
});

describe('ServerHello of our server (RFC 5246 §7.4.1.3)', () => {
  it('echoes no session id of a client that resumes nothing', () => {
    expect(answer({}, { sessionId: new Uint8Array(32).fill(5) }).sessionId).to.have.length(0);
  });

  it('has a random of its own, without a downgrade mark: there is nothing above TLS 1.2 to protect', () => {
    const [first, second] = [answer({}, {}), answer({}, {})];
    expect(first.random).to.not.deep.equal(second.random);
    expect(Buffer.from(first.random.subarray(24)).toString('hex')).to.not.match(/^444f574e475244/);
  });

  it('comes with the rest of the flight in as few records as possible', () => {
    const config = serverConfig({ credentials: [identity.credential], clientAuth: 'request' });
    const server = new EngineSide(createServerHandshake(config));
    server.start();
    const flight = server.receive(new PuppetClient().clientHello());
    expect(flight.subarray(0, 3).toString('hex')).to.equal('160303');
    expect(flight.readUInt16BE(3)).to.equal(flight.length - 5);
  });

  it('is split where a record is full', () => {
    const certificates = [Buffer.from('leaf'), Buffer.alloc(20_000, 1)];
    const big = testIdentity('ecdsa-p256', { certificates });
    const server = new EngineSide(
      createServerHandshake(serverConfig({ credentials: [big.credential] })),
    );
    server.start();
    const client = new PuppetClient();
    const flight = server.receive(client.clientHello());
    expect(flight.readUInt16BE(3)).to.equal(2 ** 14);
    expect(flight.readUInt16BE(5 + 2 ** 14 + 3)).to.equal(flight.length - 10 - 2 ** 14);
  });
});

describe('end of ClientHello (RFC 5246 §7.3)', () => {
  it('is the end of its record', () => {
    const { server } = greet({
      hello: (client) => {
        const hello = client.unsent(1, client.clientHello().subarray(9));
        return client.record(22, Buffer.concat([hello, Uint8Array.of(1)]));
      },
    });
    expect(server.failure?.alert).to.equal('unexpected_message');
  });
});

describe('CertificateRequest of our server (RFC 5246 §7.4.4)', () => {
  const requested = (certificateAuthorities: readonly Uint8Array[]): Uint8Array | undefined =>
    greet({
      config: { clientAuth: 'request', certificateAuthorities },
      hello: {},
    }).client.received.find(({ type }) => type === HandshakeType.certificate_request)?.body;
  const name = Buffer.from('300c310a300806035504030c0141', 'hex');

  it('names both types, our schemes and the authorities', () => {
    const body = Buffer.from(requested([name]) ?? []).toString('hex');
    expect(body).to.match(/^024001/);
    expect(body.endsWith(`0010000e${name.toString('hex')}`)).to.equal(true);
  });

  it('names no authorities when they would be too many', () => {
    const many = Array.from({ length: 1100 }, () => name);
    expect(
      Buffer.from(requested(many) ?? [])
        .subarray(-2)
        .toString('hex'),
    ).to.equal('0000');
  });
});

describe('configuration of a server', () => {
  it('is refused without a credential', () => {
    expect(() => createServerHandshake(serverConfig({ credentials: [] }))).to.throw(RangeError);
  });

  it('is refused without a suite', () => {
    const config = serverConfig({ credentials: [identity.credential], cipherSuites: [] });
    expect(() => createServerHandshake(config)).to.throw(RangeError);
  });
});
