import { expect } from 'chai';
import { generateKeyShare } from '../../../src/crypto/key-exchange.ts';
import { AlertDescription, type AlertName } from '../../../src/tls/alert.ts';
import type { ServerConfig } from '../../../src/tls/config.ts';
import { HandshakeType, NamedGroup, SignatureScheme } from '../../../src/tls/registries.ts';
import { createServerHandshake } from '../../../src/tls/server/handshake.ts';
import {
  type Answers,
  EngineSide,
  serverConfig,
  testIdentity,
} from '../../support/engine-driver.ts';
import { PuppetClient } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');
const clientIdentity = testIdentity('ecdsa-p256');
const rsaIdentity = testIdentity('rsa');

interface Sides {
  readonly client: PuppetClient;
  readonly server: EngineSide;
}

/** A server that has sent its flight. */
function afterHello(config: Partial<ServerConfig> = {}, answers: Answers = {}): Sides {
  const whole = serverConfig({ credentials: [identity.credential], ...config });
  const server = new EngineSide(createServerHandshake(whole), answers);
  const client = new PuppetClient();
  server.start();
  client.take(server.receive(client.clientHello()));
  return { client, server };
}

function expectAlert({ client, server }: Sides, bytes: Uint8Array, alert: AlertName): void {
  expect(client.take(server.receive(bytes))).to.equal(AlertDescription[alert]);
  expect(server.failure).to.include({ kind: 'peer', alert });
  expect(server.result).to.equal(undefined);
}

describe("the client's Certificate at the server (RFC 5246 §7.4.6)", () => {
  it('is handed to the driver as it came', () => {
    const { client, server } = afterHello({ clientAuth: 'request' });
    server.receive(client.certificate(clientIdentity.credential.certificates));
    expect(server.asked.at(-1)).to.deep.equal({
      type: 'verifyChain',
      certificates: clientIdentity.credential.certificates.map((der) => Buffer.from(der)),
      purpose: 'client',
      resumed: false,
      credential: identity.credential,
    });
  });

  it('may be empty where it is only requested', () => {
    const { client, server } = afterHello({ clientAuth: 'request' });
    server.receive(client.certificate([]));
    expect(server.failure).to.equal(undefined);
  });

  it('may not be empty where it is required', () => {
    const sides = afterHello({ clientAuth: 'require' });
    expectAlert(sides, sides.client.certificate([]), 'handshake_failure');
    expect(sides.server.failure?.reason).to.equal('client_certificate_required');
  });

  it('is refused with the alert of the verdict, also where it is only requested', () => {
    const verifyChain = () =>
      ({ ok: false, alert: 'certificate_revoked', reason: 'revoked', message: 'revoked' }) as const;
    const sides = afterHello({ clientAuth: 'request' }, { verifyChain });
    const bytes = sides.client.certificate(clientIdentity.credential.certificates);
    expectAlert(sides, bytes, 'certificate_revoked');
  });

  it('is refused above our limits', () => {
    const sides = afterHello({ clientAuth: 'request' });
    const bytes = sides.client.certificate(Array.from({ length: 11 }, () => Uint8Array.of(0x30)));
    expectAlert(sides, bytes, 'illegal_parameter');
  });
});

describe('ClientKeyExchange at the server (RFC 8422 §5.7, §5.10, §5.11)', () => {
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
    ['of another group', secp384r1, good],
    ['of small order', x25519, new Uint8Array(32)],
    ['one byte long', x25519, new Uint8Array(33).fill(9)],
  ] as const) {
    it(`answers illegal_parameter to a point ${name} (group ${String(group)})`, () => {
      const sides = afterHello({ namedGroups: [group] });
      expectAlert(sides, sides.client.clientKeyExchange(point), 'illegal_parameter');
    });
  }

  for (const [name, body] of [
    ['an empty point', '00'],
    ['no point', ''],
    ['bytes behind the point', '010400'],
    ['a point cut short', '4104'],
  ] as const) {
    it(`answers decode_error to ${name}`, () => {
      const sides = afterHello();
      const bytes = sides.client.message(
        HandshakeType.client_key_exchange,
        Buffer.from(body, 'hex'),
      );
      expectAlert(sides, bytes, 'decode_error');
    });
  }
});

describe('CertificateVerify at the server (RFC 5246 §7.4.8)', () => {
  function beforeVerify(config: Partial<ServerConfig> = {}, showing = clientIdentity): Sides {
    const { client, server } = afterHello({ clientAuth: 'require', ...config });
    server.receive(client.certificate(showing.credential.certificates));
    server.receive(client.clientKeyExchange());
    expect(server.failure).to.equal(undefined);
    return { client, server };
  }
  const {
    ecdsa_secp256r1_sha256,
    ecdsa_secp384r1_sha384,
    ed25519,
    rsa_pkcs1_sha256,
    rsa_pss_rsae_sha256,
    rsa_pss_pss_sha256,
  } = SignatureScheme;

  for (const [name, config, changes, alert] of [
    [
      'a scheme not offered',
      { signatureSchemes: [ecdsa_secp384r1_sha384] },
      {},
      'illegal_parameter',
    ],
    ['ECDSA with SHA-1', {}, { namedScheme: 0x0203 }, 'illegal_parameter'],
    ['a scheme for another kind of key', {}, { namedScheme: ed25519 }, 'illegal_parameter'],
    ['another hash than it names', {}, { namedScheme: ecdsa_secp384r1_sha384 }, 'decrypt_error'],
    [
      'a changed signature',
      {},
      {
        changeSignature: (right: Uint8Array) =>
          Uint8Array.from(right, (byte, at) => (at === 20 ? byte ^ 1 : byte)),
      },
      'decrypt_error',
    ],
    ['an empty signature', {}, { changeSignature: () => new Uint8Array(0) }, 'decrypt_error'],
  ] as const) {
    it(`answers ${alert} to ${name}`, () => {
      const sides = beforeVerify(config);
      expectAlert(sides, sides.client.certificateVerify(clientIdentity, changes), alert);
    });
  }

  for (const [name, changes, alert] of [
    [
      'PKCS #1 named PSS',
      { scheme: rsa_pkcs1_sha256, namedScheme: rsa_pss_rsae_sha256 },
      'decrypt_error',
    ],
    [
      'a scheme of PSS keys',
      { scheme: rsa_pss_rsae_sha256, namedScheme: rsa_pss_pss_sha256 },
      'illegal_parameter',
    ],
  ] as const) {
    it(`answers ${alert} to ${name} of an RSA key`, () => {
      const sides = beforeVerify({}, rsaIdentity);
      expectAlert(sides, sides.client.certificateVerify(rsaIdentity, changes), alert);
    });
  }

  it("answers decrypt_error to a signature by another key than the leaf's", () => {
    const sides = beforeVerify({}, testIdentity('ecdsa-p384'));
    const bytes = sides.client.certificateVerify(clientIdentity, {
      scheme: ecdsa_secp256r1_sha256,
    });
    expectAlert(sides, bytes, 'decrypt_error');
  });

  it('answers decrypt_error to a signature over fewer messages', () => {
    const { client, server } = afterHello({ clientAuth: 'require' });
    server.receive(client.certificate(clientIdentity.credential.certificates));
    // The message is made, and hashed, before ClientKeyExchange.
    const early = client.certificateVerify(clientIdentity);
    server.receive(client.clientKeyExchange());
    expectAlert({ client, server }, early, 'decrypt_error');
  });
});

describe("the client's Finished at the server (RFC 5246 §7.4.9)", () => {
  function beforeFinished(): Sides {
    const sides = afterHello();
    sides.server.receive(sides.client.clientKeyExchange());
    sides.server.receive(sides.client.changeCipherSpec());
    return sides;
  }

  for (let at = 0; at < 12; at += 1) {
    it(`is refused when byte ${String(at)} of verify_data differs`, () => {
      const sides = beforeFinished();
      const bytes = sides.client.finished((right) =>
        Uint8Array.from(right, (byte, index) => (index === at ? byte ^ 0x80 : byte)),
      );
      expectAlert(sides, bytes, 'decrypt_error');
    });
  }

  it("is refused when it is the server's", () => {
    const sides = beforeFinished();
    expectAlert(
      sides,
      sides.client.finished(() => sides.client.verifyData('server')),
      'decrypt_error',
    );
  });

  for (const length of [0, 11, 13]) {
    it(`is refused with ${String(length)} bytes of verify_data`, () => {
      const sides = beforeFinished();
      const bytes = sides.client.message(HandshakeType.finished, new Uint8Array(length));
      expectAlert(sides, bytes, 'decode_error');
    });
  }

  it('is refused when something follows it in its record', () => {
    const sides = beforeFinished();
    const finished = sides.client.unsent(HandshakeType.finished, sides.client.verifyData('client'));
    const bytes = sides.client.record(22, Buffer.concat([finished, finished]));
    expectAlert(sides, bytes, 'unexpected_message');
  });

  it('may come in two records', () => {
    const { client, server } = beforeFinished();
    const finished = client.unsent(HandshakeType.finished, client.verifyData('client'));
    server.receive(client.record(22, finished.subarray(0, 3)));
    server.receive(client.record(22, finished.subarray(3)));
    expect(server.failure).to.equal(undefined);
    expect(server.result?.read.sequenceNumber).to.equal(2n);
  });
});
