import { expect } from 'chai';
import { generateKeyShare } from '../../../src/crypto/key-exchange.ts';
import { AlertDescription, type AlertName } from '../../../src/tls/alert.ts';
import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import type { ClientConfig } from '../../../src/tls/config.ts';
import { HandshakeType, NamedGroup, SignatureScheme } from '../../../src/tls/registries.ts';
import {
  type Answers,
  clientConfig,
  EngineSide,
  testIdentity,
  type TestIdentity,
} from '../../support/engine-driver.ts';
import { PuppetServer } from '../../support/puppet.ts';

const ecdsa = testIdentity('ecdsa-p256');
const rsa = testIdentity('rsa');

interface Setting {
  readonly config?: Partial<ClientConfig>;
  readonly identity?: TestIdentity;
  readonly answers?: Answers;
  readonly suite?: number;
}

/** A client that waits for Certificate. */
function afterServerHello({ config, identity = ecdsa, answers, suite }: Setting = {}): {
  client: EngineSide;
  server: PuppetServer;
} {
  const client = new EngineSide(createClientHandshake(clientConfig(config)), answers);
  const server = new PuppetServer(identity);
  server.take(client.start());
  client.receive(server.serverHello({ cipherSuite: suite ?? 0xc02b }));
  return { client, server };
}

function afterCertificate(setting?: Setting): { client: EngineSide; server: PuppetServer } {
  const sides = afterServerHello(setting);
  sides.client.receive(sides.server.certificate());
  return sides;
}

function expectAlert(
  { client, server }: { client: EngineSide; server: PuppetServer },
  bytes: Uint8Array,
  alert: AlertName,
): void {
  expect(server.take(client.receive(bytes))).to.equal(AlertDescription[alert]);
  expect(client.failure).to.include({ kind: 'peer', alert });
  expect(client.result).to.equal(undefined);
}

describe("the server's Certificate at the client (RFC 5246 §7.4.2, RFC 8422 §5.3)", () => {
  it('is handed to the driver as it came', () => {
    const { client } = afterCertificate();
    expect(client.asked).to.deep.equal([
      {
        type: 'verifyChain',
        certificates: ecdsa.credential.certificates.map((der) => Buffer.from(der)),
        purpose: 'server',
        resumed: false,
      },
    ]);
  });

  it('may not be empty', () => {
    const sides = afterServerHello();
    expectAlert(sides, sides.server.certificate([]), 'decode_error');
  });

  it('is refused with the alert of the verdict', () => {
    const verdict = {
      ok: false,
      alert: 'certificate_expired',
      reason: 'expired',
      message: 'too old',
    } as const;
    const sides = afterServerHello({ answers: { verifyChain: () => verdict } });
    expectAlert(sides, sides.server.certificate(), 'certificate_expired');
    expect(sides.client.failure).to.deep.equal({
      kind: 'peer',
      alert: 'certificate_expired',
      reason: 'expired',
      message: 'too old',
      phase: 'AwaitServerVerdict',
    });
  });

  it('has to fit the authentication of the suite', () => {
    const sides = afterServerHello({ identity: rsa });
    expectAlert(sides, sides.server.certificate(), 'illegal_parameter');
  });

  it('has to fit the authentication of the suite the other way round', () => {
    const sides = afterServerHello({ suite: 0xc02f });
    expectAlert(sides, sides.server.certificate(), 'illegal_parameter');
  });

  it('may not be on a curve we did not offer', () => {
    const config = { namedGroups: [NamedGroup.secp256r1, NamedGroup.x25519] };
    const sides = afterServerHello({ config, identity: testIdentity('ecdsa-p384') });
    expectAlert(sides, sides.server.certificate(), 'illegal_parameter');
  });

  it('is judged before anything that follows, though all of it is there', () => {
    const { client, server } = afterServerHello();
    const silent = client.handshake.receive(
      Buffer.concat([
        server.certificate(),
        server.serverKeyExchange({ changeSignature: () => new Uint8Array(4) }),
      ]),
    );
    expect(silent.map(({ type }) => type)).to.deep.equal(['verifyChain']);
    expect(client.handshake.phase).to.equal('AwaitServerVerdict');
  });
});

describe('ServerKeyExchange at the client (RFC 8422 §5.4, RFC 5246 §7.4.3)', () => {
  const flip = (signature: Uint8Array): Uint8Array => {
    const changed = Uint8Array.from(signature);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    return changed;
  };
  const { ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384, rsa_pkcs1_sha256, rsa_pss_rsae_sha256 } =
    SignatureScheme;

  const cases: readonly {
    readonly name: string;
    readonly setting?: Setting;
    readonly changes: Parameters<PuppetServer['serverKeyExchange']>[0];
    readonly alert: AlertName;
  }[] = [
    {
      name: 'a group not offered',
      setting: { config: { namedGroups: [NamedGroup.secp256r1] } },
      changes: { group: NamedGroup.x25519 },
      alert: 'illegal_parameter',
    },
    { name: 'a group nobody knows', changes: { group: 0x0a0a }, alert: 'illegal_parameter' },
    {
      name: 'a scheme not offered',
      setting: { config: { signatureSchemes: [ecdsa_secp384r1_sha384] } },
      changes: { scheme: ecdsa_secp256r1_sha256 },
      alert: 'illegal_parameter',
    },
    { name: 'ECDSA with SHA-1', changes: { namedScheme: 0x0203 }, alert: 'illegal_parameter' },
    { name: 'RSA with MD5', changes: { namedScheme: 0x0101 }, alert: 'illegal_parameter' },
    {
      name: 'a scheme for another kind of key',
      changes: { namedScheme: rsa_pss_rsae_sha256 },
      alert: 'illegal_parameter',
    },
    {
      name: 'PSS with the key of rsa-pss named for an rsa key',
      setting: { identity: rsa, suite: 0xc02f },
      changes: { scheme: rsa_pss_rsae_sha256, namedScheme: SignatureScheme.rsa_pss_pss_sha256 },
      alert: 'illegal_parameter',
    },
    {
      name: 'another padding than it names',
      setting: { identity: rsa, suite: 0xc02f },
      changes: { scheme: rsa_pkcs1_sha256, namedScheme: rsa_pss_rsae_sha256 },
      alert: 'decrypt_error',
    },
    {
      name: 'another hash than it names',
      changes: { scheme: ecdsa_secp256r1_sha256, namedScheme: ecdsa_secp384r1_sha384 },
      alert: 'decrypt_error',
    },
    { name: 'a changed signature', changes: { changeSignature: flip }, alert: 'decrypt_error' },
    {
      name: 'an empty signature',
      changes: { changeSignature: () => new Uint8Array(0) },
      alert: 'decrypt_error',
    },
  ];
  for (const { name, setting, changes, alert } of cases) {
    it(`answers ${alert} to ${name}`, () => {
      const { suite, identity, ...rest } = setting ?? {};
      const sides = afterCertificate({
        ...rest,
        ...(suite === undefined ? {} : { suite }),
        ...(identity === undefined ? {} : { identity }),
      });
      expect(sides.client.failure).to.equal(undefined);
      const scheme =
        changes?.scheme ?? (identity === rsa ? rsa_pss_rsae_sha256 : ecdsa_secp256r1_sha256);
      expectAlert(sides, sides.server.serverKeyExchange({ ...changes, scheme }), alert);
    });
  }

  it('answers decrypt_error to a signature over the randoms of another handshake', () => {
    const sides = afterCertificate();
    sides.server.clientRandom = new Uint8Array(32);
    expectAlert(sides, sides.server.serverKeyExchange(), 'decrypt_error');
  });

  it('answers decode_error to explicit curve parameters', () => {
    const sides = afterCertificate();
    const body = Buffer.from('010017410400000000', 'hex');
    expectAlert(
      sides,
      sides.server.message(HandshakeType.server_key_exchange, body),
      'decode_error',
    );
  });
});

describe("the server's ECDHE value at the client (RFC 8422 §5.4.1, §5.10, §5.11)", () => {
  const good = generateKeyShare(NamedGroup.secp256r1).publicKey;
  const compressed = Uint8Array.from([2 + ((good.at(-1) ?? 0) & 1), ...good.subarray(1, 33)]);
  const hybrid = Uint8Array.from([6 + ((good.at(-1) ?? 0) & 1), ...good.subarray(1)]);
  const offCurve = Uint8Array.from(good);
  offCurve[64] = (offCurve[64] ?? 0) ^ 1;
  const { secp256r1, secp384r1, x25519 } = NamedGroup;
  for (const [name, group, point] of [
    ['in compressed form', secp256r1, compressed],
    ['in hybrid form', secp256r1, hybrid],
    ['off the curve', secp256r1, offCurve],
    ['at infinity', secp256r1, Uint8Array.of(0)],
    ['one byte short', secp256r1, good.subarray(0, 64)],
    ['one byte long', secp256r1, Uint8Array.from([...good, 0])],
    ['of another group', secp384r1, good],
    ['of small order', x25519, new Uint8Array(32)],
    ['of small order in another form', x25519, Uint8Array.from([1, ...new Uint8Array(31)])],
    ['one byte short', x25519, new Uint8Array(31).fill(9)],
  ] as const) {
    it(`is refused ${name} (group ${String(group)})`, () => {
      const sides = afterCertificate();
      sides.client.receive(sides.server.serverKeyExchange({ group, point }));
      expect(sides.client.failure).to.equal(undefined);
      expectAlert(sides, sides.server.serverHelloDone(), 'illegal_parameter');
    });
  }
});

describe("the end of the server's flight (RFC 5246 §7.4.5)", () => {
  it('is the end of its record', () => {
    const sides = afterCertificate();
    sides.client.receive(sides.server.serverKeyExchange());
    const done = sides.server.unsent(HandshakeType.server_hello_done, new Uint8Array(0));
    const more = sides.server.unsent(HandshakeType.server_hello_done, new Uint8Array(0));
    const bytes = sides.server.record(22, Buffer.concat([done, more.subarray(0, 2)]));
    expectAlert(sides, bytes, 'unexpected_message');
  });

  it('has an empty ServerHelloDone', () => {
    const sides = afterCertificate();
    sides.client.receive(sides.server.serverKeyExchange());
    const bytes = sides.server.message(HandshakeType.server_hello_done, Uint8Array.of(0));
    expectAlert(sides, bytes, 'decode_error');
  });
});

describe("the client's answer to CertificateRequest (RFC 5246 §7.4.6)", () => {
  function asked(config: Partial<ClientConfig>): {
    client: EngineSide;
    server: PuppetServer;
    alert: number | undefined;
  } {
    const { client, server } = afterCertificate({ config });
    client.receive(server.serverKeyExchange());
    client.receive(server.certificateRequest());
    const alert = server.take(client.receive(server.serverHelloDone()));
    return { client, server, alert };
  }
  const types = (server: PuppetServer): number[] => server.received.map(({ type }) => type);

  it('is its chain and a signature over all messages so far', () => {
    const { server } = asked({ credentials: [ecdsa.credential] });
    expect(types(server)).to.deep.equal([1, 11, 16, 15, 20]);
  });

  it('is an empty list when it has no credential', () => {
    const { server } = asked({});
    expect(types(server)).to.deep.equal([1, 11, 16, 20]);
    expect(server.received[1]?.body).to.deep.equal(Uint8Array.of(0, 0, 0));
  });

  it('is a failure of its own where it must not stay anonymous', () => {
    const { client, alert } = asked({ requireCredential: true });
    expect(alert).to.equal(AlertDescription.handshake_failure);
    expect(client.failure).to.include({ kind: 'local', reason: 'no_suitable_credential' });
  });

  it('is nothing at all when it was not asked', () => {
    const { client, server } = afterCertificate({
      config: { credentials: [ecdsa.credential], requireCredential: true },
    });
    client.receive(server.serverKeyExchange());
    server.take(client.receive(server.serverHelloDone()));
    expect(types(server)).to.deep.equal([1, 16, 20]);
  });
});

describe("the server's last messages at the client (RFC 5246 §7.4.9, RFC 5077 §3.3)", () => {
  function afterFlight(
    extensions: { sessionTicket?: boolean; extendedMasterSecret?: boolean } = {},
  ): { client: EngineSide; server: PuppetServer } {
    const client = new EngineSide(createClientHandshake(clientConfig()));
    const server = new PuppetServer(ecdsa);
    server.take(client.start());
    client.receive(server.serverHello({ extensions }));
    client.receive(server.certificate());
    client.receive(server.serverKeyExchange());
    server.take(client.receive(server.serverHelloDone()));
    return { client, server };
  }

  it('are refused when verify_data differs', () => {
    const sides = afterFlight();
    sides.client.receive(sides.server.changeCipherSpec());
    const bytes = sides.server.finished((right) =>
      Uint8Array.from(right, (byte, at) => (at === 11 ? byte ^ 1 : byte)),
    );
    expectAlert(sides, bytes, 'decrypt_error');
  });

  for (const length of [0, 11, 13]) {
    it(`are refused when verify_data has ${String(length)} bytes`, () => {
      const sides = afterFlight();
      sides.client.receive(sides.server.changeCipherSpec());
      const bytes = sides.server.message(HandshakeType.finished, new Uint8Array(length));
      expectAlert(sides, bytes, 'decode_error');
    });
  }

  it('are refused when something follows Finished in its record', () => {
    const sides = afterFlight();
    sides.client.receive(sides.server.changeCipherSpec());
    const finished = sides.server.unsent(HandshakeType.finished, sides.server.verifyData('server'));
    expectAlert(
      sides,
      sides.server.record(22, Buffer.concat([finished, Uint8Array.of(0)])),
      'unexpected_message',
    );
  });

  it('keep a session when a ticket comes', () => {
    const { client, server } = afterFlight({ sessionTicket: true });
    const ticket = new Uint8Array(120).fill(5);
    client.receive(server.newSessionTicket(ticket, 600));
    client.receive(server.changeCipherSpec());
    client.receive(server.finished());
    expect(client.result?.session).to.deep.include({
      lifetimeHintSeconds: 600,
      serverName: 'server.test',
      masterSecret: server.master,
      peerCertificates: client.result?.peerCertificates,
    });
    expect(client.result?.session?.ticket).to.deep.equal(Buffer.from(ticket));
    client.handshake.wipe();
    expect(client.result?.session?.masterSecret).to.deep.equal(server.master);
  });

  for (const [name, extensions, ticket] of [
    ['the ticket is empty', { sessionTicket: true }, new Uint8Array(0)],
    [
      'the ticket is too long to be offered',
      { sessionTicket: true },
      new Uint8Array(12 * 1024 + 1),
    ],
    [
      'there is no extended master secret',
      { sessionTicket: true, extendedMasterSecret: false },
      new Uint8Array(9),
    ],
  ] as const) {
    it(`keep no session when ${name}`, () => {
      const { client, server } = afterFlight(extensions);
      client.receive(server.newSessionTicket(ticket));
      client.receive(server.changeCipherSpec());
      client.receive(server.finished());
      expect(client.failure).to.equal(undefined);
      expect(client.result).to.include({ session: undefined });
    });
  }

  it('give no keying material without extended master secret (RFC 7627 §5.4)', () => {
    const config = clientConfig({ exporters: [{ label: 'EXPORTER-x', length: 16 }] });
    for (const [extendedMasterSecret, count] of [
      [true, 1],
      [false, 0],
    ] as const) {
      const client = new EngineSide(createClientHandshake(config));
      const server = new PuppetServer(ecdsa);
      server.take(client.start());
      client.receive(server.serverHello({ extensions: { extendedMasterSecret } }));
      client.receive(server.certificate());
      client.receive(server.serverKeyExchange());
      server.take(client.receive(server.serverHelloDone()));
      client.receive(server.changeCipherSpec());
      client.receive(server.finished());
      expect(client.result).to.include({ extendedMasterSecret });
      expect(client.result?.keyingMaterial).to.have.length(count);
    }
  });
});
