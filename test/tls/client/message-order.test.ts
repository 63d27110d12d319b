import { expect } from 'chai';
import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import { AlertDescription } from '../../../src/tls/alert.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ClientSession } from '../../../src/tls/config.ts';
import { ContentType, HandshakeType } from '../../../src/tls/registries.ts';
import { clientConfig, EngineSide, testIdentity } from '../../support/engine-driver.ts';
import { PuppetServer } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256');
const own = testIdentity('ecdsa-p256');

type Step = (server: PuppetServer) => Uint8Array;

/** Everything a server could say, well formed. */
const sayings: Readonly<Record<string, Step>> = {
  HelloRequest: (server) => server.message(HandshakeType.hello_request, new Uint8Array(0)),
  ClientHello: (server) =>
    server.message(HandshakeType.client_hello, server.received[0]?.body ?? new Uint8Array(0)),
  ServerHello: (server) => server.serverHello(),
  NewSessionTicket: (server) => server.newSessionTicket(),
  Certificate: (server) => server.certificate(),
  ServerKeyExchange: (server) => server.serverKeyExchange(),
  CertificateRequest: (server) => server.certificateRequest(),
  ServerHelloDone: (server) => server.serverHelloDone(),
  CertificateVerify: (server) =>
    server.message(HandshakeType.certificate_verify, Buffer.from('040300020000', 'hex')),
  ClientKeyExchange: (server) =>
    server.message(HandshakeType.client_key_exchange, Buffer.from('0104', 'hex')),
  Finished: (server) => server.message(HandshakeType.finished, new Uint8Array(12)),
  CertificateStatus: (server) => server.certificateStatus(),
  'a message of unknown type': (server) => server.message(99, new Uint8Array(0)),
  ChangeCipherSpec: (server) => server.record(ContentType.change_cipher_spec, Uint8Array.of(1)),
  'application data': (server) => server.record(ContentType.application_data, Buffer.from('x')),
};

const hello: Step = (server) => server.serverHello();
const certificate: Step = (server) => server.certificate();
const keyExchange: Step = (server) => server.serverKeyExchange();
const request: Step = (server) => server.certificateRequest();
const helloDone: Step = (server) => server.serverHelloDone();
const ticketHello: Step = (server) => server.serverHello({ extensions: { sessionTicket: true } });
const statusHello: Step = (server) => server.serverHello({ extensions: { statusRequest: true } });
const status: Step = (server) => server.certificateStatus();
const ticket: Step = (server) => server.newSessionTicket();
const changeCipherSpec: Step = (server) => server.changeCipherSpec();
const resumedHello: Step = (server) => {
  const record = server.serverHello({ sessionId: server.hello?.sessionId ?? new Uint8Array(0) });
  server.master = session.masterSecret;
  return record;
};
const resumedStatusHello: Step = (server) => {
  const sessionId = server.hello?.sessionId ?? new Uint8Array(0);
  const record = server.serverHello({ sessionId, extensions: { statusRequest: true } });
  server.master = session.masterSecret;
  return record;
};

const session: ClientSession = {
  ticket: new Uint8Array(50).fill(7),
  cipherSuite: cipherSuites[0]!,
  masterSecret: new Uint8Array(48).fill(9),
  serverName: 'server.test',
  createdAt: new Date('2029-12-31T23:00:00Z'),
  lifetimeHintSeconds: 7200,
  peerCertificates: identity.credential.certificates,
  credential: undefined,
};

interface Row {
  readonly phase: string;
  readonly after: string;
  readonly steps: readonly Step[];
  readonly legal: readonly string[];
  readonly resumes?: boolean;
}

const untilKeyExchange = [hello, certificate, keyExchange];
const rows: readonly Row[] = [
  {
    phase: 'ExpectServerHello',
    after: 'ClientHello',
    steps: [],
    legal: ['HelloRequest', 'ServerHello'],
  },
  {
    phase: 'ExpectCertificate',
    after: 'ServerHello',
    steps: [hello],
    legal: ['HelloRequest', 'Certificate'],
  },
  {
    phase: 'ExpectServerKeyExchange',
    after: 'Certificate',
    steps: [hello, certificate],
    legal: ['HelloRequest', 'ServerKeyExchange'],
  },
  {
    phase: 'ExpectCertificate',
    after: 'ServerHello, a status acknowledged',
    steps: [statusHello],
    legal: ['HelloRequest', 'Certificate'],
  },
  {
    phase: 'ExpectCertificateStatusOrServerKeyExchange',
    after: 'Certificate, a status acknowledged',
    steps: [statusHello, certificate],
    legal: ['HelloRequest', 'CertificateStatus', 'ServerKeyExchange'],
  },
  {
    phase: 'ExpectServerKeyExchange',
    after: 'CertificateStatus',
    steps: [statusHello, certificate, status],
    legal: ['HelloRequest', 'ServerKeyExchange'],
  },
  {
    phase: 'ExpectCertificateRequestOrServerHelloDone',
    after: 'ServerKeyExchange, the status acknowledged left out',
    steps: [statusHello, certificate, keyExchange],
    legal: ['HelloRequest', 'CertificateRequest', 'ServerHelloDone'],
  },
  {
    phase: 'ExpectCertificateRequestOrServerHelloDone',
    after: 'ServerKeyExchange',
    steps: untilKeyExchange,
    legal: ['HelloRequest', 'CertificateRequest', 'ServerHelloDone'],
  },
  {
    phase: 'ExpectServerHelloDone',
    after: 'CertificateRequest',
    steps: [...untilKeyExchange, request],
    legal: ['HelloRequest', 'ServerHelloDone'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'ServerHelloDone',
    steps: [...untilKeyExchange, helloDone],
    legal: ['HelloRequest', 'ChangeCipherSpec'],
  },
  {
    phase: 'ExpectNewSessionTicket',
    after: 'ServerHelloDone, a ticket promised',
    steps: [ticketHello, certificate, keyExchange, helloDone],
    legal: ['HelloRequest', 'NewSessionTicket'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'NewSessionTicket',
    steps: [ticketHello, certificate, keyExchange, helloDone, ticket],
    legal: ['HelloRequest', 'ChangeCipherSpec'],
  },
  {
    phase: 'ExpectFinished',
    after: 'ChangeCipherSpec',
    steps: [...untilKeyExchange, helloDone, changeCipherSpec],
    legal: ['Finished'],
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'a ServerHello that resumes',
    steps: [resumedHello],
    legal: ['HelloRequest', 'ChangeCipherSpec'],
    resumes: true,
  },
  {
    phase: 'ExpectFinished',
    after: 'the ChangeCipherSpec of a resumed session',
    steps: [resumedHello, changeCipherSpec],
    legal: ['Finished'],
    resumes: true,
  },
  {
    phase: 'ExpectChangeCipherSpec',
    after: 'a ServerHello that resumes and acknowledges a status',
    steps: [resumedStatusHello],
    legal: ['HelloRequest', 'ChangeCipherSpec'],
    resumes: true,
  },
];

function rowAfter(after: string): Row {
  const found = rows.find((row) => row.after === after);
  if (found === undefined) throw new Error(`no row after ${after}`);
  return found;
}

/** A client and a puppet that have come as far as a row says. */
function reach({ steps, resumes }: Row): { client: EngineSide; server: PuppetServer } {
  const config = clientConfig({
    credentials: [own.credential],
    ...(resumes === true ? { session } : {}),
  });
  const client = new EngineSide(createClientHandshake(config));
  const server = new PuppetServer(identity);
  server.take(client.start());
  for (const step of steps) server.take(client.receive(step(server)));
  return { client, server };
}

describe('message order of the client (RFC 5246 §7.3, RFC 5077 §3.3, RFC 6066 §8)', () => {
  for (const row of rows) {
    describe(`after ${row.after}`, () => {
      it(`is in ${row.phase}`, () => {
        const { client } = reach(row);
        expect(client.failure).to.equal(undefined);
        expect(client.handshake.phase).to.equal(row.phase);
      });

      for (const [name, say] of Object.entries(sayings)) {
        if (row.legal.includes(name)) continue;
        it(`refuses ${name}`, () => {
          const { client, server } = reach(row);
          const alert = server.take(client.receive(say(server)));
          expect(client.failure).to.include({
            kind: 'peer',
            alert: 'unexpected_message',
            phase: row.phase,
          });
          expect(alert).to.equal(AlertDescription.unexpected_message);
          expect(client.result).to.equal(undefined);
        });
      }

      for (const name of row.legal) {
        // The Finished of the table has the right form and the wrong value.
        const alert = name === 'Finished' ? 'decrypt_error' : undefined;
        it(`takes ${name}`, () => {
          const { client, server } = reach(row);
          client.receive(sayings[name]!(server));
          expect(client.failure?.alert).to.equal(alert);
        });
      }
    });
  }

  it('says what came and what was due', () => {
    const { client, server } = reach(rowAfter('ServerKeyExchange'));
    client.receive(sayings['Finished']!(server));
    expect(client.failure?.message).to.equal(
      'got Finished, expected CertificateRequest or ServerHelloDone',
    );
  });

  it('completes with a puppet that keeps the order', () => {
    const { client, server } = reach(rowAfter('ChangeCipherSpec'));
    expect(client.receive(server.finished())).to.have.length(0);
    expect(client.result?.resumed).to.equal(false);
  });

  for (const [name, steps] of [
    ['that staples', [statusHello, certificate, status, keyExchange, helloDone]],
    ['that leaves the staple out', [statusHello, certificate, keyExchange, helloDone]],
  ] as const) {
    it(`completes with a puppet ${name}`, () => {
      const { client, server } = reach({ ...rowAfter('ChangeCipherSpec'), steps });
      client.receive(server.changeCipherSpec());
      client.receive(server.finished());
      expect(client.failure).to.equal(undefined);
      expect(client.result?.resumed).to.equal(false);
    });
  }

  it('completes a resumption with a puppet that keeps the order', () => {
    const { client, server } = reach(rowAfter('the ChangeCipherSpec of a resumed session'));
    expect(server.take(client.receive(server.finished()))).to.equal(undefined);
    expect(client.result?.resumed).to.equal(true);
    expect(server.received.at(-1)?.type).to.equal(HandshakeType.finished);
  });
});
