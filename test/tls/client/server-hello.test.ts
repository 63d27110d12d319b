import { expect } from 'chai';
import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import { AlertDescription, type AlertName } from '../../../src/tls/alert.ts';
import { cipherSuiteByCode, cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ClientConfig, ClientSession } from '../../../src/tls/config.ts';
import { clientConfig, EngineSide, testIdentity } from '../../support/engine-driver.ts';
import { PuppetServer } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');

type Changes = Parameters<PuppetServer['serverHello']>[0];

interface Row {
  readonly name: string;
  readonly config?: Partial<ClientConfig>;
  /** Without SNI. */
  readonly nameless?: true;
  readonly hello: Changes | ((server: PuppetServer) => Uint8Array);
  /** Absent: the ServerHello is taken. */
  readonly alert?: AlertName;
  readonly reason?: string;
}

/** A ServerHello with these extensions, byte for byte. */
function withExtensions(block: string): Row['hello'] {
  return (server) => {
    const fixed = `0303${'ab'.repeat(32)}00c02b00`;
    const length = (block.length / 2).toString(16).padStart(4, '0');
    return server.rawServerHello(Buffer.from(`${fixed}${length}${block}`, 'hex'));
  };
}

const renegotiationInfo = 'ff01000100';

function check(rows: readonly Row[]): void {
  for (const { name, config, nameless, hello, alert, reason } of rows) {
    it(`${alert === undefined ? 'takes' : `answers ${alert} to`} ${name}`, () => {
      const whole = clientConfig(config);
      if (nameless === true) Reflect.deleteProperty(whole, 'serverName');
      const client = new EngineSide(createClientHandshake(whole));
      const server = new PuppetServer(identity);
      server.take(client.start());
      const bytes = typeof hello === 'function' ? hello(server) : server.serverHello(hello);
      const sent = server.take(client.receive(bytes));
      expect(client.failure?.alert).to.equal(alert);
      expect(sent).to.equal(alert === undefined ? undefined : AlertDescription[alert]);
      if (reason !== undefined) expect(client.failure?.reason).to.equal(reason);
      if (alert === undefined) expect(client.handshake.phase).to.equal('ExpectCertificate');
    });
  }
}

describe('version in ServerHello (RFC 5246 §7.4.1.3, RFC 8996)', () => {
  check([
    { name: 'SSL 3.0', hello: { legacyVersion: 0x0300 }, alert: 'protocol_version' },
    { name: 'TLS 1.0', hello: { legacyVersion: 0x0301 }, alert: 'protocol_version' },
    { name: 'TLS 1.1', hello: { legacyVersion: 0x0302 }, alert: 'protocol_version' },
    { name: 'a version above ours', hello: { legacyVersion: 0x0304 }, alert: 'protocol_version' },
    { name: 'TLS 1.2', hello: {} },
  ]);
});

describe('suite and compression in ServerHello (RFC 5246 §7.4.1.3)', () => {
  const config = { cipherSuites: cipherSuites.slice(0, 1) };
  check([
    {
      name: 'a suite we have but did not offer',
      config,
      hello: { cipherSuite: 0xc02f },
      alert: 'illegal_parameter',
    },
    { name: 'a suite of TLS 1.3', hello: { cipherSuite: 0x1301 }, alert: 'illegal_parameter' },
    { name: 'a GREASE suite', hello: { cipherSuite: 0x0a0a }, alert: 'illegal_parameter' },
    { name: 'a signalling value', hello: { cipherSuite: 0x00ff }, alert: 'illegal_parameter' },
    { name: 'no suite (0x0000)', hello: { cipherSuite: 0 }, alert: 'illegal_parameter' },
    { name: 'compression', hello: { compressionMethod: 1 }, alert: 'illegal_parameter' },
    { name: 'the last suite offered', hello: { cipherSuite: 0xcca9 } },
  ]);
});

describe('extensions in ServerHello (RFC 5246 §7.4.1.4)', () => {
  check([
    {
      name: 'an unknown extension',
      hello: withExtensions(`${renegotiationInfo}12340000`),
      alert: 'unsupported_extension',
    },
    {
      name: 'a GREASE extension',
      hello: withExtensions(`${renegotiationInfo}0a0a0000`),
      alert: 'unsupported_extension',
    },
    {
      name: 'session_ticket when none was asked for',
      config: { sessionTickets: false },
      hello: { extensions: { sessionTicket: true } },
      alert: 'unsupported_extension',
    },
    {
      name: 'server_name when none was sent',
      nameless: true,
      hello: { extensions: { serverName: true } },
      alert: 'unsupported_extension',
    },
    {
      name: 'status_request (RFC 6066 §8)',
      hello: { extensions: { statusRequest: true } },
    },
    {
      name: 'status_request that is not empty',
      hello: withExtensions(`${renegotiationInfo}0005000100`),
      alert: 'decode_error',
    },
    {
      name: 'supported_versions, which a client of TLS 1.2 does not send',
      hello: { extensions: { supportedVersion: 0x0304 } },
      alert: 'unsupported_extension',
    },
    {
      name: 'an application protocol when none was offered',
      hello: { extensions: { applicationProtocol: 'h2' } },
      alert: 'unsupported_extension',
    },
    {
      name: 'signature_algorithms, which a server never sends',
      hello: withExtensions(`${renegotiationInfo}000d000400020403`),
      alert: 'unsupported_extension',
    },
    {
      name: 'supported_groups, which some servers send',
      hello: withExtensions(`${renegotiationInfo}000a00040002001d`),
    },
    {
      name: 'an extension twice',
      hello: withExtensions(`${renegotiationInfo}${renegotiationInfo}`),
      alert: 'decode_error',
    },
    {
      name: 'point formats without the uncompressed one',
      hello: { extensions: { ecPointFormats: [1] } },
      alert: 'illegal_parameter',
    },
    {
      name: 'point formats with the uncompressed one',
      hello: { extensions: { ecPointFormats: [1, 0] } },
    },
    {
      name: 'acknowledgements of what we sent',
      hello: { extensions: { serverName: true, sessionTicket: true, ecPointFormats: [0] } },
    },
  ]);
});

describe('application protocol in ServerHello (RFC 7301 §3.1)', () => {
  const config = { applicationProtocols: ['h2', 'http/1.1'] };
  check([
    { name: 'one offered', config, hello: { extensions: { applicationProtocol: 'http/1.1' } } },
    { name: 'none', config, hello: {} },
    {
      name: 'another',
      config,
      hello: { extensions: { applicationProtocol: 'h3' } },
      alert: 'illegal_parameter',
    },
    {
      name: 'two',
      config,
      hello: withExtensions(`${renegotiationInfo}001000080006026832026833`),
      alert: 'decode_error',
    },
  ]);
});

describe('renegotiation indication in ServerHello (RFC 5746 §3.4, §4.1)', () => {
  const without = { extensions: { renegotiationInfo: undefined } };
  check([
    {
      name: 'its absence',
      hello: without,
      alert: 'handshake_failure',
      reason: 'renegotiation_info_missing',
    },
    {
      name: 'its absence where the setting allows it',
      config: { requireRenegotiationInfo: false },
      hello: without,
    },
    {
      name: 'one that is not empty',
      hello: { extensions: { renegotiationInfo: Uint8Array.of(1) } },
      alert: 'handshake_failure',
    },
    {
      name: 'one that is not empty even where none is required',
      config: { requireRenegotiationInfo: false },
      hello: { extensions: { renegotiationInfo: Uint8Array.of(1) } },
      alert: 'handshake_failure',
    },
  ]);
});

describe('extended master secret in ServerHello (RFC 7627 §5.2)', () => {
  const without = { extensions: { extendedMasterSecret: false } };
  check([
    { name: 'its absence', hello: without },
    {
      name: 'its absence where it is required',
      config: { requireExtendedMasterSecret: true },
      hello: without,
      alert: 'handshake_failure',
      reason: 'extended_master_secret_missing',
    },
  ]);
});

describe('form of ServerHello (RFC 5246 §7.4.1.3)', () => {
  check([
    {
      name: 'a session id of 33 bytes',
      hello: (server) =>
        server.message(2, Buffer.from(`0303${'ab'.repeat(32)}21${'cd'.repeat(33)}c02b00`, 'hex')),
      alert: 'decode_error',
    },
    { name: 'a session id though we sent none', hello: { sessionId: new Uint8Array(32).fill(3) } },
    {
      name: 'bytes behind the extensions',
      hello: (server) =>
        server.message(2, Buffer.from(`0303${'ab'.repeat(32)}00c02b00000000`, 'hex')),
      alert: 'decode_error',
    },
    {
      name: 'a body cut short',
      hello: (server) => server.message(2, Buffer.from('0303abab', 'hex')),
      alert: 'decode_error',
    },
  ]);
});

describe('session in ServerHello (RFC 5077 §3.4, RFC 7627 §5.3)', () => {
  const session: ClientSession = {
    ticket: new Uint8Array(80).fill(1),
    cipherSuite: cipherSuiteByCode(0xc02c)!,
    masterSecret: new Uint8Array(48).fill(2),
    serverName: 'server.test',
    createdAt: new Date('2029-12-31T23:30:00Z'),
    lifetimeHintSeconds: 3600,
    peerCertificates: identity.credential.certificates,
    credential: undefined,
  };

  function offer(config: Partial<ClientConfig> = {}): { client: EngineSide; server: PuppetServer } {
    const client = new EngineSide(createClientHandshake(clientConfig({ session, ...config })));
    const server = new PuppetServer(identity);
    server.take(client.start());
    return { client, server };
  }

  it('is offered with its ticket and a fresh session id', () => {
    const [first, second] = [offer(), offer()];
    expect(first.server.hello?.extensions.sessionTicket).to.deep.equal(Buffer.from(session.ticket));
    expect(first.server.hello?.sessionId).to.have.length(32);
    expect(first.server.hello?.sessionId).to.not.deep.equal(second.server.hello?.sessionId);
  });

  it('is offered even where no tickets are asked for', () => {
    const { server } = offer({ sessionTickets: false });
    expect(server.hello?.extensions.sessionTicket).to.have.length(80);
  });

  it('is not offered when its suite is no longer allowed', () => {
    const { server } = offer({ cipherSuites: cipherSuites.slice(0, 1) });
    expect(server.hello?.extensions.sessionTicket).to.have.length(0);
    expect(server.hello?.sessionId).to.have.length(0);
  });

  const echo = (server: PuppetServer) => ({
    sessionId: server.hello?.sessionId ?? new Uint8Array(0),
  });
  const cases: readonly {
    readonly name: string;
    readonly hello: (server: PuppetServer) => Changes;
    readonly alert?: AlertName;
    readonly phase?: string;
  }[] = [
    {
      name: 'resumes when the session id is echoed',
      hello: (server) => ({ ...echo(server), cipherSuite: 0xc02c }),
      phase: 'ExpectChangeCipherSpec',
    },
    {
      name: 'starts afresh when it is not',
      hello: () => ({ cipherSuite: 0xc02c }),
      phase: 'ExpectCertificate',
    },
    {
      name: 'starts afresh with a session id of the server',
      hello: () => ({ sessionId: new Uint8Array(32).fill(9) }),
      phase: 'ExpectCertificate',
    },
    {
      name: 'refuses another suite than the session has',
      hello: (server) => ({ ...echo(server), cipherSuite: 0xc02b }),
      alert: 'illegal_parameter',
    },
    {
      name: 'refuses the loss of the extended master secret',
      hello: (server) => ({
        ...echo(server),
        cipherSuite: 0xc02c,
        extensions: { extendedMasterSecret: false },
      }),
      alert: 'handshake_failure',
    },
    {
      name: 'refuses a session resumed under another version',
      hello: (server) => ({ ...echo(server), legacyVersion: 0x0302 }),
      alert: 'protocol_version',
    },
  ];
  for (const { name, hello, alert, phase } of cases) {
    it(name, () => {
      const { client, server } = offer();
      client.receive(server.serverHello(hello(server)));
      expect(client.failure?.alert).to.equal(alert);
      if (phase !== undefined) expect(client.handshake.phase).to.equal(phase);
    });
  }

  it('leaves the master secret of the caller alone', () => {
    const { client, server } = offer();
    client.receive(server.serverHello({ ...echo(server), cipherSuite: 0xc02c }));
    client.handshake.wipe();
    expect(session.masterSecret).to.deep.equal(new Uint8Array(48).fill(2));
  });
});
