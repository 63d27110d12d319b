import { expect } from 'chai';
import { AlertDescription } from '../../../src/tls/alert.ts';
import { ContentType, HandshakeType } from '../../../src/tls/registries.ts';
import { createServerHandshake } from '../../../src/tls/server/handshake.ts';
import {
  EngineSide,
  serverConfig,
  shakeHands,
  clientConfig,
  testIdentity,
  testTickets,
} from '../../support/engine-driver.ts';
import { PuppetClient } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');
const clientIdentity = testIdentity('ecdsa-p256');
const tickets = testTickets();

/** A session to resume, from a handshake with our own client. */
const session = shakeHands(
  clientConfig(),
  serverConfig({ credentials: [identity.credential], tickets }),
).client.result?.session;

type Step = (client: PuppetClient) => Uint8Array;

/** Everything a client could say, well formed. */
const sayings: Readonly<Record<string, Step>> = {
  HelloRequest: (client) => client.message(HandshakeType.hello_request, new Uint8Array(0)),
  ClientHello: (client) => client.clientHello(),
  ServerHello: (client) =>
    client.message(
      HandshakeType.server_hello,
      Buffer.concat([
        Buffer.from('0303', 'hex'),
        new Uint8Array(32),
        Buffer.from('00c02b00', 'hex'),
      ]),
    ),
  NewSessionTicket: (client) =>
    client.message(HandshakeType.new_session_ticket, Buffer.from('000000000000', 'hex')),
  Certificate: (client) => client.certificate(clientIdentity.credential.certificates),
  'an empty Certificate': (client) => client.certificate([]),
  ServerKeyExchange: (client) =>
    client.message(HandshakeType.server_key_exchange, Buffer.from('030017010404030000', 'hex')),
  CertificateRequest: (client) =>
    client.message(HandshakeType.certificate_request, Buffer.from('0140000204030000', 'hex')),
  ServerHelloDone: (client) => client.message(HandshakeType.server_hello_done, new Uint8Array(0)),
  CertificateVerify: (client) => client.certificateVerify(clientIdentity),
  ClientKeyExchange: (client) =>
    client.message(
      HandshakeType.client_key_exchange,
      Buffer.concat([Uint8Array.of(65), client.share?.publicKey ?? new Uint8Array(65).fill(4)]),
    ),
  Finished: (client) => client.message(HandshakeType.finished, new Uint8Array(12)),
  CertificateStatus: (client) =>
    client.message(HandshakeType.certificate_status, Buffer.from('0100000101', 'hex')),
  'a message of unknown type': (client) => client.message(99, new Uint8Array(0)),
  ChangeCipherSpec: (client) => client.record(ContentType.change_cipher_spec, Uint8Array.of(1)),
  'application data': (client) => client.record(ContentType.application_data, Buffer.from('x')),
};

const hello: Step = (client) => client.clientHello();
const certificate: Step = (client) => client.certificate(clientIdentity.credential.certificates);
const noCertificate: Step = (client) => client.certificate([]);
const keyExchange: Step = (client) => client.clientKeyExchange();
const certificateVerify: Step = (client) => client.certificateVerify(clientIdentity);
const changeCipherSpec: Step = (client) => client.changeCipherSpec();
const resumingHello: Step = (client) => {
  client.master = session?.masterSecret;
  return client.clientHello({
    sessionId: new Uint8Array(32).fill(1),
    extensions: { sessionTicket: session?.ticket },
  });
};

interface Row {
  readonly phase: string;
  readonly after: string;
  readonly clientAuth: 'none' | 'request';
  readonly steps: readonly Step[];
  readonly legal: readonly string[];
}

const asked = { clientAuth: 'request' } as const;
const notAsked = { clientAuth: 'none' } as const;
const rows: readonly Row[] = [
  {
    phase: 'ExpectClientHello',
    after: 'nothing',
    ...notAsked,
    steps: [],
    legal: ['ClientHello'],
  },
  {
    phase: 'ExpectClientKeyExchange',
    after: 'ClientHello, no certificate requested',
    ...notAsked,
    steps: [hello],
    legal: ['ClientKeyExchange'],
  },
  {
    phase: 'ExpectCertificate',
    after: 'ClientHello, a certificate requested',
    ...asked,
    steps: [hello],
    legal: ['Certificate', 'an empty Certificate'],
  },
  {
    phase: 'ExpectClientKeyExchange',
    after: 'Certificate',
    ...asked,
    steps: [hello, certificate],
    legal: ['ClientKeyExchange'],
  },
  {
    phase: 'ExpectClientKeyExchange',
    after: 'an empty Certificate',
    ...asked,
    steps: [hello, noCertificate],
    legal: ['ClientKeyExchange'],
  },
  {
    phase: 'ExpectCertificateVerify',
    after: 'ClientKeyExchange of a client with a certificate',
    ...asked,
    steps: [hello, certificate, keyExchange],
    legal: ['CertificateVerify'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'ClientKeyExchange of a client that sent an empty list',
    ...asked,
    steps: [hello, noCertificate, keyExchange],
    legal: ['ChangeCipherSpec'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'ClientKeyExchange of a client that was not asked',
    ...notAsked,
    steps: [hello, keyExchange],
    legal: ['ChangeCipherSpec'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'CertificateVerify',
    ...asked,
    steps: [hello, certificate, keyExchange, certificateVerify],
    legal: ['ChangeCipherSpec'],
  },
  {
    phase: 'ExpectFinished',
    after: 'ChangeCipherSpec',
    ...notAsked,
    steps: [hello, keyExchange, changeCipherSpec],
    legal: ['Finished'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'a ClientHello that resumes',
    ...notAsked,
    steps: [resumingHello],
    legal: ['ChangeCipherSpec'],
  },
  {
    phase: 'ExpectFinished',
    after: 'the ChangeCipherSpec of a resumed session',
    ...notAsked,
    steps: [resumingHello, changeCipherSpec],
    legal: ['Finished'],
  },
];

/** A server and a puppet that have come as far as a row says. */
function reach({ steps, clientAuth }: Row): { client: PuppetClient; server: EngineSide } {
  const config = serverConfig({ credentials: [identity.credential], clientAuth, tickets });
  const server = new EngineSide(createServerHandshake(config));
  const client = new PuppetClient();
  server.start();
  for (const step of steps) client.take(server.receive(step(client)));
  return { client, server };
}

describe('message order of the server (RFC 5246 §7.3, §7.4.6, §7.4.8)', () => {
  for (const row of rows) {
    describe(`after ${row.after}`, () => {
      it(`is in ${row.phase}`, () => {
        const { server } = reach(row);
        expect(server.failure).to.equal(undefined);
        expect(server.handshake.phase).to.equal(row.phase);
      });

      for (const [name, say] of Object.entries(sayings)) {
        if (row.legal.includes(name)) continue;
        it(`refuses ${name}`, () => {
          const { client, server } = reach(row);
          const alert = client.take(server.receive(say(client)));
          expect(server.failure).to.include({
            kind: 'peer',
            alert: 'unexpected_message',
            phase: row.phase,
          });
          expect(alert).to.equal(AlertDescription.unexpected_message);
          expect(server.result).to.equal(undefined);
        });
      }
    });
  }

  for (const [index, resumed] of [
    [9, false],
    [11, true],
  ] as const) {
    it(`completes with a puppet that keeps the order (resumed: ${String(resumed)})`, () => {
      const { client, server } = reach(rows[index]!);
      expect(client.take(server.receive(client.finished()))).to.equal(undefined);
      expect(server.failure).to.equal(undefined);
      expect(server.result?.resumed).to.equal(resumed);
    });
  }
});
