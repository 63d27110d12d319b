import { expect } from 'chai';
import { rsaModulusBytes, schemeFitsKey } from '../../src/crypto/signatures.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { cipherSuites, type CipherSuite } from '../../src/tls/cipher-suites.ts';
import type { ClientConfig, ClientSession, ServerConfig } from '../../src/tls/config.ts';
import { createRecordOpener, createRecordSealer } from '../../src/tls/record/protection.ts';
import { ContentType, NamedGroup, SignatureScheme } from '../../src/tls/registries.ts';
import { suiteAuthentication } from '../../src/tls/peer-authentication.ts';
import {
  clientConfig,
  type EngineSide,
  type Exchange,
  type ExchangeOptions,
  serverConfig,
  shakeHands,
  testIdentity,
  testTickets,
} from '../support/engine-driver.ts';

const kinds: readonly KeyKind[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'];
const identities = new Map(kinds.map((kind) => [kind, testIdentity(kind)]));
const clientIdentity = testIdentity('ecdsa-p256', { name: 'client' });

function identityFor({ authentication }: CipherSuite) {
  return identities.get(authentication === 'rsa' ? 'rsa' : 'ecdsa-p256')!;
}

/** Both sides are done, agree on everything, and a record of either opens at the other. */
function expectAgreement({ client, server }: Exchange): void {
  expect(client.failure ?? server.failure).to.equal(undefined);
  const [ours, theirs] = [client.result!, server.result!];
  for (const field of [
    'cipherSuite',
    'applicationProtocol',
    'resumed',
    'extendedMasterSecret',
    'serverName',
    'namedGroup',
    'signatureScheme',
    'keyingMaterial',
  ] as const) {
    expect(ours[field], field).to.deep.equal(theirs[field]);
  }
  expect(ours.read).to.deep.equal(theirs.write);
  expect(ours.write).to.deep.equal(theirs.read);
  expect(ours.localFinished).to.deep.equal(theirs.peerFinished);
  expect(ours.peerFinished).to.deep.equal(theirs.localFinished);
  expect(ours.peerCertificates).to.deep.equal(theirs.credential?.certificates);
  expect(theirs.peerCertificates).to.deep.equal(ours.credential?.certificates ?? []);
  expect([ours.read.sequenceNumber, ours.write.sequenceNumber]).to.deep.equal([1n, 1n]);
  carry(client, server);
  carry(server, client);
}

/** Record protection goes on where the handshake ended. */
function carry(from: EngineSide, to: EngineSide): void {
  const { cipherSuite, write } = from.result!;
  const sealer = createRecordSealer({ cipherSuite, ...write, provider: 'node' });
  const opener = createRecordOpener({ cipherSuite, ...to.result!.read, provider: 'node' });
  const record = Buffer.alloc(5 + sealer.overhead);
  const length = sealer.seal(ContentType.application_data, Buffer.from('hello'), record, 0);
  expect(Buffer.from(opener.open(record.subarray(0, length))).toString()).to.equal('hello');
}

const bytewise: ExchangeOptions = {
  deliver: (_from, bytes) => Array.from(bytes, (byte) => Uint8Array.of(byte)),
};

interface Combination {
  readonly name: string;
  readonly client: Partial<ClientConfig>;
  readonly server: Partial<ServerConfig> & Pick<ServerConfig, 'credentials'>;
}

const combinations: Combination[] = [];
for (const suite of cipherSuites) {
  for (const [groupName, group] of Object.entries(NamedGroup)) {
    for (const clientAuth of ['none', 'require'] as const) {
      const identity = identityFor(suite);
      combinations.push({
        name: `${suite.name}, ${groupName}, client authentication: ${clientAuth}`,
        client: { cipherSuites: [suite], credentials: [clientIdentity.credential] },
        server: { namedGroups: [group], credentials: [identity.credential], clientAuth },
      });
    }
  }
}

describe('handshake of both roles (RFC 5246 §7.3, RFC 8422 §5)', () => {
  for (const { name, client, server } of combinations) {
    for (const [how, options] of [
      ['whole', {}],
      ['byte by byte', bytewise],
    ] as const) {
      it(`agrees: ${name}, delivered ${how}`, () => {
        const exchange = shakeHands(clientConfig(client), serverConfig(server), options);
        expectAgreement(exchange);
        expect(exchange.client.result).to.include({
          cipherSuite: client.cipherSuites?.[0],
          namedGroup: server.namedGroups?.[0],
          resumed: false,
          extendedMasterSecret: true,
        });
        expect(exchange.flights.map(({ from }) => from)).to.deep.equal([
          'client',
          'server',
          'client',
          'server',
        ]);
      });
    }
  }
});

describe('signature schemes (RFC 5246 §7.4.1.4.1, RFC 8422 §5.10, RFC 8446 §4.2.3)', () => {
  for (const kind of kinds) {
    const identity = identities.get(kind)!;
    const fitting = Object.entries(SignatureScheme).filter(([, scheme]) =>
      schemeFitsKey(scheme, kind, rsaModulusBytes(identity.publicKey)),
    );
    for (const [name, scheme] of fitting) {
      it(`lets a server with ${kind} sign with ${name}`, () => {
        const exchange = shakeHands(
          clientConfig({ signatureSchemes: [scheme] }),
          serverConfig({ credentials: [identity.credential] }),
        );
        expectAgreement(exchange);
        expect(exchange.client.result).to.include({
          signatureScheme: scheme,
          peerSignatureScheme: scheme,
        });
        expect(exchange.server.result).to.include({ peerSignatureScheme: undefined });
        const authentication = suiteAuthentication(kind);
        expect(exchange.client.result?.cipherSuite.authentication).to.equal(authentication);
      });

      it(`lets a client with ${kind} sign with ${name}`, () => {
        const exchange = shakeHands(
          clientConfig({ credentials: [identity.credential] }),
          serverConfig({
            credentials: [identities.get('ecdsa-p256')!.credential],
            clientAuth: 'require',
            signatureSchemes: [scheme],
          }),
        );
        expectAgreement(exchange);
        const [question] = exchange.client.asked.filter(({ type }) => type === 'sign');
        expect(question).to.include({ scheme });
        expect(exchange.server.result?.peerSignatureScheme).to.equal(scheme);
      });
    }
  }
});

describe('master secret (RFC 5246 §8.1, RFC 7627 §5)', () => {
  const exporters = [{ label: 'EXPORTER-test', length: 32 }];

  it('is extended between our own roles, with keying material', () => {
    const exchange = shakeHands(
      clientConfig({ exporters, requireExtendedMasterSecret: true }),
      serverConfig({
        credentials: [clientIdentity.credential],
        exporters,
        requireExtendedMasterSecret: true,
      }),
    );
    expectAgreement(exchange);
    expect(exchange.client.result?.keyingMaterial[0]).to.have.length(32);
  });
});

describe('session resumption (RFC 5077 §3.1, RFC 7627 §5.3)', () => {
  const tickets = testTickets();
  const first = (
    client: Partial<ClientConfig>,
    server: Partial<ServerConfig> & Pick<ServerConfig, 'credentials'>,
  ): ClientSession => {
    const exchange = shakeHands(clientConfig(client), serverConfig({ ...server, tickets }));
    expectAgreement(exchange);
    expect(exchange.client.result?.session).to.not.equal(undefined);
    return exchange.client.result!.session!;
  };

  for (const suite of cipherSuites) {
    for (const clientAuth of ['none', 'request', 'require'] as const) {
      const identity = identityFor(suite);
      const client = { cipherSuites: [suite], credentials: [clientIdentity.credential] };
      const server = { credentials: [identity.credential], clientAuth };
      for (const [how, options] of [
        ['whole', {}],
        ['byte by byte', bytewise],
      ] as const) {
        it(`resumes ${suite.name}, client authentication: ${clientAuth}, delivered ${how}`, () => {
          const session = first(client, server);
          const exchange = shakeHands(
            clientConfig({ ...client, session }),
            serverConfig({ ...server, tickets }),
            options,
          );
          expectAgreement(exchange);
          expect(exchange.client.result).to.include({ resumed: true, cipherSuite: suite });
          expect(exchange.client.result?.session?.createdAt).to.deep.equal(session.createdAt);
          expect(exchange.client.asked).to.deep.equal([]);
          expect(exchange.server.asked.map(({ type }) => type)).to.deep.equal(
            clientAuth === 'none' ? [] : ['verifyChain'],
          );
          expect(exchange.flights.map(({ from }) => from)).to.deep.equal([
            'client',
            'server',
            'client',
          ]);
        });
      }
    }
  }

  it('derives other keys than the session before', () => {
    const server = { credentials: [clientIdentity.credential], tickets };
    const before = shakeHands(clientConfig(), serverConfig(server));
    const session = before.client.result!.session!;
    const after = shakeHands(clientConfig({ session }), serverConfig(server));
    expect(after.client.result?.resumed).to.equal(true);
    expect(after.client.result?.write.key).to.not.deep.equal(before.client.result?.write.key);
  });

  it('resumes again from the ticket of a resumed session, which is no younger', () => {
    const server = { credentials: [clientIdentity.credential], tickets };
    let session = shakeHands(clientConfig(), serverConfig(server)).client.result!.session!;
    const { createdAt } = session;
    for (let minutes = 30; minutes <= 90; minutes += 30) {
      const now = () => new Date(createdAt.getTime() + minutes * 60_000);
      const exchange = shakeHands(clientConfig({ session, now }), serverConfig({ ...server, now }));
      expect(exchange.client.result?.resumed).to.equal(true);
      session = exchange.client.result!.session!;
      expect(session.createdAt).to.deep.equal(createdAt);
      expect(session.lifetimeHintSeconds).to.equal(7200 - minutes * 60);
    }
    const now = () => new Date(createdAt.getTime() + 7_200_001);
    const late = shakeHands(clientConfig({ session, now }), serverConfig({ ...server, now }));
    expectAgreement(late);
    expect(late.client.result?.resumed).to.equal(false);
  });
});

describe('delivery in any two pieces (RFC 5246 §6.2.1)', () => {
  const tickets = testTickets();
  const server = serverConfig({ credentials: [clientIdentity.credential], tickets });
  const full = shakeHands(clientConfig(), server);
  const session = full.client.result!.session!;

  /** Cuts every flight at the same offset, if it is that long. */
  const cutAt = (offset: number): ExchangeOptions => ({
    deliver: (_from, bytes) => [bytes.subarray(0, offset), bytes.subarray(offset)],
  });

  it('makes no difference to a resumed handshake', () => {
    const longest = Math.max(
      ...shakeHands(clientConfig({ session }), server).flights.map(({ bytes }) => bytes.length),
    );
    for (let offset = 0; offset <= longest; offset += 1) {
      const exchange = shakeHands(clientConfig({ session }), server, cutAt(offset));
      expect(exchange.client.result?.resumed, `cut at ${String(offset)}`).to.equal(true);
      expect(exchange.server.result?.resumed, `cut at ${String(offset)}`).to.equal(true);
    }
  });

  it('makes no difference to a full handshake', () => {
    const longest = Math.max(...full.flights.map(({ bytes }) => bytes.length));
    for (let offset = 1; offset <= longest; offset += 11) {
      const exchange = shakeHands(clientConfig(), server, cutAt(offset));
      expect(exchange.client.failure ?? exchange.server.failure).to.equal(undefined);
    }
  });
});
