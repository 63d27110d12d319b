import { expect } from 'chai';
import { AlertDescription } from '../../../src/tls/alert.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ClientConfig, ServerConfig, TicketProtector } from '../../../src/tls/config.ts';
import { HandshakeType } from '../../../src/tls/registries.ts';
import { createServerHandshake } from '../../../src/tls/server/handshake.ts';
import {
  decodeServerSession,
  encodeServerSession,
  type ServerSession,
} from '../../../src/tls/session-state.ts';
import {
  clientConfig,
  EngineSide,
  serverConfig,
  shakeHands,
  testIdentity,
} from '../../support/engine-driver.ts';
import { PuppetClient } from '../../support/puppet.ts';

const identity = testIdentity('ecdsa-p256', { name: 'first' });
const second = testIdentity('ecdsa-p256', { name: 'second' });
const clientIdentity = testIdentity('ecdsa-p256');

/** Seals nothing, so tests can look into tickets and change what is in them. */
const openTickets: TicketProtector = {
  lifetimeSeconds: 7200,
  seal: (plaintext) => Buffer.concat([Buffer.from('T'), plaintext]),
  open: (ticket) => (ticket[0] === 0x54 ? Uint8Array.from(ticket.subarray(1)) : undefined),
};

const base = { credentials: [identity.credential], tickets: openTickets };

interface Case {
  readonly name: string;
  readonly client?: Partial<ClientConfig>;
  /** Of the first handshake, and of the second unless that has its own. */
  readonly server?: Partial<ServerConfig>;
  readonly then?: Partial<ServerConfig>;
  readonly clientThen?: Partial<ClientConfig>;
  readonly change?: (session: ServerSession) => ServerSession;
  readonly resumed: boolean;
}

function changeTicket(
  ticket: Uint8Array,
  change: (session: ServerSession) => ServerSession,
): Uint8Array {
  const session = decodeServerSession(ticket.subarray(1));
  if (session === undefined) throw new Error('no session in the ticket');
  return openTickets.seal(encodeServerSession(change(session)));
}

const later = (seconds: number) => () =>
  new Date(Date.parse('2030-01-01T00:00:00Z') + seconds * 1000);
const withCertificate = { credentials: [clientIdentity.credential] };

describe('acceptance of a ticket (RFC 5077 §3.1, RFC 9325 §3.4)', () => {
  const cases: readonly Case[] = [
    { name: 'nothing changed', resumed: true },
    { name: 'the ticket is as old as may be', then: { now: later(7200) }, resumed: true },
    { name: 'the ticket is too old', then: { now: later(7201) }, resumed: false },
    { name: 'the ticket is from the future', then: { now: later(-1) }, resumed: false },
    { name: 'the context changed', then: { sessionContext: Buffer.from('other') }, resumed: false },
    {
      name: 'the suite is no longer allowed',
      client: { cipherSuites: cipherSuites.slice(0, 1) },
      clientThen: { cipherSuites },
      then: { cipherSuites: cipherSuites.slice(1) },
      resumed: false,
    },
    { name: 'the name is another', clientThen: { serverName: 'other.test' }, resumed: false },
    { name: 'the credential is gone', then: { credentials: [second.credential] }, resumed: false },
    {
      name: 'the credential is no longer preferred but still there',
      then: { credentials: [second.credential, identity.credential] },
      resumed: true,
    },
    {
      name: 'the credential is for another name now',
      then: {
        credentials: [
          second.credential,
          { ...identity.credential, matchesServerName: () => false },
        ],
      },
      resumed: false,
    },
    {
      name: 'it is not ours',
      change: (session) => ({ ...session, credentialFingerprint: new Uint8Array(32) }),
      resumed: false,
    },
    {
      name: 'its session has no extended master secret',
      change: (session) => ({ ...session, extendedMasterSecret: false }),
      resumed: false,
    },
    {
      name: 'a certificate is required and was shown',
      client: withCertificate,
      server: { clientAuth: 'require' },
      resumed: true,
    },
    {
      name: 'a certificate is required now and was not shown',
      then: { clientAuth: 'require' },
      clientThen: withCertificate,
      resumed: false,
    },
    {
      name: 'a certificate is requested now and was not before',
      then: { clientAuth: 'request' },
      resumed: false,
    },
    {
      name: 'a certificate was requested and none shown',
      server: { clientAuth: 'request' },
      resumed: true,
    },
    {
      name: 'a certificate was shown and nobody asks any more',
      client: withCertificate,
      server: { clientAuth: 'request' },
      then: { clientAuth: 'none' },
      resumed: false,
    },
  ];
  for (const {
    name,
    client = {},
    server = {},
    then = {},
    clientThen = {},
    change,
    resumed,
  } of cases) {
    it(`${resumed ? 'resumes' : 'starts afresh'} when ${name}`, () => {
      const first = shakeHands(clientConfig(client), serverConfig({ ...base, ...server }));
      let session = first.client.result?.session;
      if (session === undefined) throw new Error('no ticket was issued');
      if (change !== undefined)
        session = { ...session, ticket: changeTicket(session.ticket, change) };
      const again = shakeHands(
        clientConfig({ ...client, session, ...clientThen }),
        serverConfig({ ...base, ...server, ...then }),
      );
      expect(again.client.failure ?? again.server.failure).to.equal(undefined);
      expect(again.server.result?.resumed).to.equal(resumed);
      expect(again.client.result?.resumed).to.equal(resumed);
    });
  }

  for (const [name, ticket] of [
    ['garbage', Buffer.alloc(100, 7)],
    ['a ticket of another format', openTickets.seal(Buffer.from([9, 9, 9]))],
    ['a ticket cut short', openTickets.seal(Buffer.from([1, 0xc0, 0x2b]))],
  ] as const) {
    it(`starts afresh when it is ${name}`, () => {
      const session = shakeHands(clientConfig(), serverConfig(base)).client.result?.session;
      const again = shakeHands(
        clientConfig({ session: { ...session!, ticket } }),
        serverConfig(base),
      );
      expect(again.client.result?.resumed).to.equal(false);
    });
  }

  it('starts afresh without tickets', () => {
    const session = shakeHands(clientConfig(), serverConfig(base)).client.result?.session;
    const again = shakeHands(
      clientConfig({ session: session! }),
      serverConfig({ credentials: base.credentials }),
    );
    expect(again.client.result).to.include({ resumed: false, session: undefined });
  });

  it('starts afresh when the client no longer offers the suite', () => {
    const session = shakeHands(clientConfig(), serverConfig(base)).client.result!.session!;
    const { client, server } = puppet({ ticket: session.ticket, cipherSuites: [0xc02c] });
    expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
    expect(client.received.map(({ type }) => type)).to.include(HandshakeType.certificate);
  });
});

function puppet(
  hello: {
    readonly ticket: Uint8Array;
    readonly cipherSuites?: readonly number[];
    readonly extendedMasterSecret?: boolean;
    readonly sessionId?: Uint8Array;
  },
  config: Partial<ServerConfig> = {},
) {
  const server = new EngineSide(createServerHandshake(serverConfig({ ...base, ...config })));
  const client = new PuppetClient();
  server.start();
  client.master = new Uint8Array(48);
  const { ticket, extendedMasterSecret = true, ...fields } = hello;
  const bytes = client.clientHello({
    ...fields,
    extensions: { sessionTicket: ticket, extendedMasterSecret },
  });
  const flight = server.receive(bytes);
  // What comes protected under the session's keys is not looked at.
  const plaintext = flight.subarray(0, 5 + flight.readUInt16BE(3));
  const alert = client.take(plaintext);
  return { client, server, alert };
}

describe('extended master secret of a session (RFC 7627 §5.3)', () => {
  const session = shakeHands(clientConfig(), serverConfig(base)).client.result!.session!;

  it('must be offered again: otherwise the handshake fails', () => {
    const { server, alert } = puppet({ ticket: session.ticket, extendedMasterSecret: false });
    expect(alert).to.equal(AlertDescription.handshake_failure);
    expect(server.failure).to.include({ kind: 'peer', alert: 'handshake_failure' });
  });

  it('is what a session without it is not resumed for', () => {
    const ticket = changeTicket(session.ticket, (state) => ({
      ...state,
      extendedMasterSecret: false,
    }));
    for (const extendedMasterSecret of [true, false]) {
      const { server } = puppet({ ticket, extendedMasterSecret });
      expect(server.handshake.phase).to.equal('ExpectClientKeyExchange');
    }
  });
});

describe('session id of a resumed handshake (RFC 5077 §3.4)', () => {
  const session = shakeHands(clientConfig(), serverConfig(base)).client.result!.session!;
  for (const length of [0, 1, 32]) {
    it(`is the client's of ${String(length)} bytes`, () => {
      const sessionId = new Uint8Array(length).fill(3);
      const { client, server } = puppet({ ticket: session.ticket, sessionId });
      expect(server.handshake.phase).to.equal('ExpectChangeCipherSpec');
      const hello = client.received[0]!.body;
      expect(hello[34]).to.equal(length);
      expect(hello.subarray(35, 35 + length)).to.deep.equal(sessionId);
    });
  }
});

describe("the client's certificates in a session (RFC 5246 appendix F.1.4)", () => {
  const server = { ...base, clientAuth: 'require' } as const;
  const client = { ...withCertificate };

  it('are judged again, and are those of the result', () => {
    const session = shakeHands(clientConfig(client), serverConfig(server)).client.result!.session!;
    const again = shakeHands(clientConfig({ ...client, session }), serverConfig(server));
    expect(again.server.asked).to.deep.equal([
      {
        type: 'verifyChain',
        certificates: clientIdentity.credential.certificates,
        purpose: 'client',
        resumed: true,
        credential: serverConfig(server).credentials[0],
      },
    ]);
    expect(again.server.result).to.deep.include({
      resumed: true,
      peerCertificates: clientIdentity.credential.certificates,
    });
  });

  it('lead to a full handshake, not to an alert, when they are no longer good', () => {
    const session = shakeHands(clientConfig(client), serverConfig(server)).client.result!.session!;
    const again = shakeHands(clientConfig({ ...client, session }), serverConfig(server), {
      serverAnswers: {
        verifyChain: ({ resumed }) =>
          resumed
            ? { ok: false, alert: 'certificate_revoked', reason: 'revoked', message: 'revoked' }
            : { ok: true, publicKey: clientIdentity.publicKey, keyKind: clientIdentity.keyKind },
      },
    });
    expect(again.client.failure ?? again.server.failure).to.equal(undefined);
    expect(again.server.result?.resumed).to.equal(false);
    expect(again.server.asked.map(({ type }) => type)).to.deep.equal([
      'verifyChain',
      'sign',
      'verifyChain',
    ]);
  });
});

describe('NewSessionTicket of our server (RFC 5077 §3.3)', () => {
  it('is empty when the session would make the next ClientHello too long', () => {
    const certificates = [Buffer.from('big leaf'), Buffer.alloc(13_000, 1)];
    const big = testIdentity('ecdsa-p256', { certificates });
    const exchange = shakeHands(
      clientConfig({ credentials: [big.credential] }),
      serverConfig({ ...base, clientAuth: 'require' }),
    );
    expect(exchange.client.failure ?? exchange.server.failure).to.equal(undefined);
    expect(exchange.client.result).to.include({ session: undefined });
  });

  it('does not come when the client did not ask', () => {
    const exchange = shakeHands(clientConfig({ sessionTickets: false }), serverConfig(base));
    expect(exchange.client.result).to.include({ resumed: false, session: undefined });
  });

  it('holds nothing but the session', () => {
    const session = shakeHands(clientConfig(), serverConfig(base)).client.result!.session!;
    expect(decodeServerSession(session.ticket.subarray(1))).to.deep.include({
      cipherSuite: session.cipherSuite,
      serverName: 'server.test',
      clientAuth: 'none',
      createdAt: new Date('2030-01-01T00:00:00Z'),
      peerCertificates: [],
    });
    expect(session.lifetimeHintSeconds).to.equal(7200);
  });
});
