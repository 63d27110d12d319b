import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import type { ClientState } from '../../src/tls/client/states.ts';
import type { ClientSession } from '../../src/tls/config.ts';
import { HandshakeType } from '../../src/tls/registries.ts';
import { clientConfig, EngineSide, testIdentity } from '../support/engine-driver.ts';
import { PuppetServer } from '../support/puppet.ts';
import {
  advance,
  commonInputs,
  finished,
  helloRequest,
  type Input,
  type Reached,
  type Row,
} from './probe.ts';

type Step = (server: PuppetServer) => Uint8Array;

/** Everything a server could say to our client. */
export const clientInputs: readonly Input<PuppetServer>[] = [
  { name: 'HelloRequest', say: helloRequest },
  {
    name: 'ClientHello',
    say: (server) =>
      server.message(HandshakeType.client_hello, server.received[0]?.body ?? new Uint8Array(0)),
  },
  { name: 'ServerHello', say: (server) => server.serverHello() },
  { name: 'NewSessionTicket', say: (server) => server.newSessionTicket() },
  { name: 'Certificate', say: (server) => server.certificate() },
  { name: 'Certificate without certificates', say: (server) => server.certificate([]) },
  { name: 'ServerKeyExchange', say: (server) => server.serverKeyExchange() },
  { name: 'CertificateRequest', say: (server) => server.certificateRequest() },
  { name: 'ServerHelloDone', say: (server) => server.serverHelloDone() },
  {
    name: 'CertificateVerify',
    say: (server) =>
      server.message(HandshakeType.certificate_verify, Buffer.from('040300020000', 'hex')),
  },
  {
    name: 'ClientKeyExchange',
    say: (server) => server.message(HandshakeType.client_key_exchange, Buffer.from('0104', 'hex')),
  },
  { name: 'Finished', say: finished },
  {
    name: 'CertificateStatus',
    say: (server) => server.certificateStatus(),
  },
  {
    name: 'CertificateStatus of another type',
    say: (server) =>
      server.message(HandshakeType.certificate_status, Buffer.from('020000023000', 'hex')),
  },
  {
    name: 'CertificateStatus without a response',
    say: (server) => server.certificateStatus(new Uint8Array(0)),
  },
  ...commonInputs<PuppetServer>(),
];

const identity = testIdentity('ecdsa-p256');
const own = testIdentity('ecdsa-p256');

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

const hello: Step = (server) => server.serverHello();
const ticketHello: Step = (server) => server.serverHello({ extensions: { sessionTicket: true } });
const statusHello: Step = (server) => server.serverHello({ extensions: { statusRequest: true } });
const status: Step = (server) => server.certificateStatus();
const certificate: Step = (server) => server.certificate();
const keyExchange: Step = (server) => server.serverKeyExchange();
const request: Step = (server) => server.certificateRequest();
const helloDone: Step = (server) => server.serverHelloDone();
const ticket: Step = (server) => server.newSessionTicket();
const changeCipherSpec: Step = (server) => server.changeCipherSpec();
const resuming =
  (extensions: { readonly sessionTicket?: boolean }): Step =>
  (server) => {
    const record = server.serverHello({
      sessionId: server.hello?.sessionId ?? new Uint8Array(0),
      extensions,
    });
    server.master = session.masterSecret;
    return record;
  };

const toKeyExchange = [hello, certificate, keyExchange];
const toHelloDone = [...toKeyExchange, helloDone];

function row(
  state: ClientState['tag'] | 'Failed',
  after: string,
  steps: readonly Step[],
  options: { readonly pending?: boolean; readonly resumes?: boolean } = {},
): Row<PuppetServer> {
  const { pending = false, resumes = false } = options;
  const reach = (): Reached<PuppetServer> => {
    const config = clientConfig({
      credentials: [own.credential],
      ...(resumes ? { session } : {}),
    });
    const reached = {
      side: new EngineSide(createClientHandshake(config)),
      puppet: new PuppetServer(identity),
    };
    if (state !== 'Start') reached.puppet.take(reached.side.start());
    advance(reached, steps, pending);
    return reached;
  };
  return { state, after, reach };
}

/** Every state of the client; those it comes to in several ways, once for each. */
export const clientRows: readonly Row<PuppetServer>[] = [
  row('Start', 'nothing', []),
  row('ExpectServerHello', 'its ClientHello', []),
  row('ExpectServerHello', 'its ClientHello with a session', [], { resumes: true }),
  row('ExpectCertificate', 'ServerHello', [hello]),
  row('AwaitServerVerdict', 'Certificate, the chain not judged yet', [hello, certificate], {
    pending: true,
  }),
  row('ExpectServerKeyExchange', 'Certificate', [hello, certificate]),
  row('ExpectCertificate', 'ServerHello, a status acknowledged', [statusHello]),
  row('ExpectCertificateStatusOrServerKeyExchange', 'Certificate, a status acknowledged', [
    statusHello,
    certificate,
  ]),
  row(
    'AwaitServerVerdict',
    'CertificateStatus, the chain not judged yet',
    [statusHello, certificate, status],
    { pending: true },
  ),
  row(
    'AwaitServerVerdict',
    'ServerKeyExchange in place of CertificateStatus, the chain not judged yet',
    [statusHello, certificate, keyExchange],
    { pending: true },
  ),
  row('ExpectServerKeyExchange', 'CertificateStatus', [statusHello, certificate, status]),
  row('ExpectCertificateRequestOrServerHelloDone', 'ServerKeyExchange', toKeyExchange),
  row('ExpectServerHelloDone', 'CertificateRequest', [...toKeyExchange, request]),
  row(
    'AwaitCertificateVerifySignature',
    'ServerHelloDone, CertificateVerify not signed yet',
    [...toKeyExchange, request, helloDone],
    { pending: true },
  ),
  row('ExpectChangeCipherSpec', 'ServerHelloDone', toHelloDone),
  row('ExpectNewSessionTicket', 'ServerHelloDone, a ticket promised', [
    ticketHello,
    certificate,
    keyExchange,
    helloDone,
  ]),
  row('ExpectChangeCipherSpec', 'NewSessionTicket', [
    ticketHello,
    certificate,
    keyExchange,
    helloDone,
    ticket,
  ]),
  row('ExpectFinished', 'ChangeCipherSpec', [...toHelloDone, changeCipherSpec]),
  row('ExpectChangeCipherSpec', 'a ServerHello that resumes', [resuming({})], { resumes: true }),
  row(
    'ExpectNewSessionTicket',
    'a ServerHello that resumes, a ticket promised',
    [resuming({ sessionTicket: true })],
    { resumes: true },
  ),
  row('ExpectFinished', 'ChangeCipherSpec of a resumed session', [resuming({}), changeCipherSpec], {
    resumes: true,
  }),
  row('Established', 'Finished', [...toHelloDone, changeCipherSpec, finished]),
  row('Failed', 'an alert of its own', [helloDone]),
];

/** That no state is missing above is checked by the compiler here and by a test there. */
export const clientStates: readonly string[] = Object.keys({
  Start: true,
  ExpectServerHello: true,
  ExpectCertificate: true,
  ExpectCertificateStatusOrServerKeyExchange: true,
  AwaitServerVerdict: true,
  ExpectServerKeyExchange: true,
  ExpectCertificateRequestOrServerHelloDone: true,
  ExpectServerHelloDone: true,
  AwaitCertificateVerifySignature: true,
  ExpectNewSessionTicket: true,
  ExpectChangeCipherSpec: true,
  ExpectFinished: true,
  Established: true,
} satisfies Record<ClientState['tag'], true>);
