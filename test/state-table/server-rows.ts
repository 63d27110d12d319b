import { HandshakeType } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import type { ServerState } from '../../src/tls/server/states.ts';
import {
  clientConfig,
  EngineSide,
  serverConfig,
  shakeHands,
  testIdentity,
  testTickets,
} from '../support/engine-driver.ts';
import { PuppetClient } from '../support/puppet.ts';
import {
  advance,
  commonInputs,
  finished,
  helloRequest,
  type Input,
  type Reached,
  type Row,
} from './probe.ts';

type Step = (client: PuppetClient) => Uint8Array;

const identity = testIdentity('ecdsa-p256');
const clientIdentity = testIdentity('ecdsa-p256');
const tickets = testTickets();

/** Everything a client could say to our server. */
export const serverInputs: readonly Input<PuppetClient>[] = [
  { name: 'HelloRequest', say: helloRequest },
  { name: 'ClientHello', say: (client) => client.clientHello() },
  {
    name: 'ServerHello',
    say: (client) =>
      client.message(
        HandshakeType.server_hello,
        Buffer.from(`0303${'00'.repeat(32)}00c02b00`, 'hex'),
      ),
  },
  {
    name: 'NewSessionTicket',
    say: (client) =>
      client.message(HandshakeType.new_session_ticket, Buffer.from('000000000000', 'hex')),
  },
  {
    name: 'Certificate',
    say: (client) => client.certificate(clientIdentity.credential.certificates),
  },
  { name: 'Certificate without certificates', say: (client) => client.certificate([]) },
  {
    name: 'ServerKeyExchange',
    say: (client) =>
      client.message(HandshakeType.server_key_exchange, Buffer.from('030017010404030000', 'hex')),
  },
  {
    name: 'CertificateRequest',
    say: (client) =>
      client.message(HandshakeType.certificate_request, Buffer.from('0140000204030000', 'hex')),
  },
  {
    name: 'ServerHelloDone',
    say: (client) => client.message(HandshakeType.server_hello_done, new Uint8Array(0)),
  },
  {
    name: 'ClientKeyExchange',
    say: (client) =>
      client.received.some(({ type }) => type === HandshakeType.server_key_exchange)
        ? client.clientKeyExchange(client.share?.publicKey)
        : client.message(
            HandshakeType.client_key_exchange,
            Uint8Array.of(65, ...new Uint8Array(65).fill(4)),
          ),
  },
  { name: 'CertificateVerify', say: (client) => client.certificateVerify(clientIdentity) },
  { name: 'Finished', say: finished },
  {
    name: 'CertificateStatus',
    say: (client) =>
      client.message(HandshakeType.certificate_status, Buffer.from('0100000101', 'hex')),
  },
  ...commonInputs<PuppetClient>(),
];

const hello: Step = (client) => client.clientHello();
const certificate: Step = (client) => client.certificate(clientIdentity.credential.certificates);
const noCertificate: Step = (client) => client.certificate([]);
const keyExchange: Step = (client) => client.clientKeyExchange();
const certificateVerify: Step = (client) => client.certificateVerify(clientIdentity);
const changeCipherSpec: Step = (client) => client.changeCipherSpec();

/** Sessions to resume, from handshakes with our own client. */
const anonymous = sessionWith('none');
const known = sessionWith('request');

function sessionWith(clientAuth: 'none' | 'request') {
  const { session } =
    shakeHands(
      clientConfig({ credentials: [clientIdentity.credential] }),
      serverConfig({ credentials: [identity.credential], clientAuth, tickets }),
    ).client.result ?? {};
  if (session === undefined) throw new Error('no ticket');
  return session;
}

const resuming =
  ({ masterSecret, ticket }: typeof anonymous): Step =>
  (client) => {
    client.master = masterSecret;
    return client.clientHello({
      sessionId: new Uint8Array(32).fill(1),
      extensions: { sessionTicket: ticket },
    });
  };

interface Options {
  readonly pending?: boolean;
  readonly clientAuth?: 'none' | 'request' | 'require';
}

const asked = { clientAuth: 'request' } as const;

function row(
  state: ServerState['tag'] | 'Failed',
  after: string,
  steps: readonly Step[],
  { pending = false, clientAuth = 'none' }: Options = {},
): Row<PuppetClient> {
  const reach = (): Reached<PuppetClient> => {
    const config = serverConfig({ credentials: [identity.credential], clientAuth, tickets });
    const reached = {
      side: new EngineSide(createServerHandshake(config)),
      puppet: new PuppetClient(),
    };
    reached.side.start();
    advance(reached, steps, pending);
    return reached;
  };
  return { state, after, reach };
}

/** Every state of the server; those it comes to in several ways, once for each. */
export const serverRows: readonly Row<PuppetClient>[] = [
  row('ExpectClientHello', 'nothing', []),
  row('AwaitServerKeyExchangeSignature', 'ClientHello, ServerKeyExchange not signed yet', [hello], {
    pending: true,
  }),
  row('ExpectCertificate', 'ClientHello, a certificate requested', [hello], asked),
  row('ExpectCertificate', 'ClientHello, a certificate required', [hello], {
    clientAuth: 'require',
  }),
  row('AwaitClientVerdict', 'Certificate, the chain not judged yet', [hello, certificate], {
    ...asked,
    pending: true,
  }),
  row('ExpectClientKeyExchange', 'ClientHello, no certificate requested', [hello]),
  row('ExpectClientKeyExchange', 'Certificate', [hello, certificate], asked),
  row('ExpectClientKeyExchange', 'Certificate without certificates', [hello, noCertificate], asked),
  row(
    'ExpectCertificateVerify',
    'ClientKeyExchange of a client with a certificate',
    [hello, certificate, keyExchange],
    asked,
  ),
  row('ExpectChangeCipherSpec', 'ClientKeyExchange of a client that was not asked', [
    hello,
    keyExchange,
  ]),
  row(
    'ExpectChangeCipherSpec',
    'ClientKeyExchange of a client without certificates',
    [hello, noCertificate, keyExchange],
    asked,
  ),
  row(
    'ExpectChangeCipherSpec',
    'CertificateVerify',
    [hello, certificate, keyExchange, certificateVerify],
    asked,
  ),
  row('ExpectFinished', 'ChangeCipherSpec', [hello, keyExchange, changeCipherSpec]),
  row(
    'AwaitResumptionVerdict',
    'a ClientHello with a session, the chain in it not judged yet',
    [resuming(known)],
    { ...asked, pending: true },
  ),
  row('ExpectChangeCipherSpec', 'a ClientHello that resumes', [resuming(anonymous)]),
  row('ExpectFinished', 'ChangeCipherSpec of a resumed session', [
    resuming(anonymous),
    changeCipherSpec,
  ]),
  row('Established', 'Finished', [hello, keyExchange, changeCipherSpec, finished]),
  row('Failed', 'an alert of its own', [finished]),
];

/** That no state is missing above is checked by the compiler here and by a test there. */
export const serverStates: readonly string[] = Object.keys({
  ExpectClientHello: true,
  AwaitResumptionVerdict: true,
  AwaitServerKeyExchangeSignature: true,
  ExpectCertificate: true,
  AwaitClientVerdict: true,
  ExpectClientKeyExchange: true,
  ExpectCertificateVerify: true,
  ExpectChangeCipherSpec: true,
  ExpectFinished: true,
  Established: true,
} satisfies Record<ServerState['tag'], true>);
