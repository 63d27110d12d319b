import { expect } from 'chai';
import { alertName } from '../../src/tls/alert.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import { ContentType, HandshakeType, NamedGroup } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { Random } from '../fuzz/random.ts';
import { clientConfig, EngineSide, serverConfig, testIdentity } from '../support/engine-driver.ts';
import { PuppetClient, PuppetServer } from '../support/puppet.ts';
import { createTestCa } from '../support/test-ca.ts';
import { EngineListener, OpenSslListener, walk } from './oracle.ts';
import { finished, helloRequest } from './probe.ts';

const ca = createTestCa();
const identity = testIdentity('ecdsa-p256');
const issued = ca.issue({
  dnsNames: ['server.test'],
  keyPair: { publicKey: identity.publicKey, privateKey: identity.privateKey },
});
const ours = testIdentity('ecdsa-p256', { certificates: issued.chain });
const suites = cipherSuites.filter(({ code }) => code === 0xc02b);

type Saying<P> = readonly [name: string, say: (puppet: P) => Uint8Array];

/** What may be said after what, and all that may be said at all. */
interface Model<P> {
  readonly courses: readonly (readonly string[])[];
  readonly sayings: readonly Saying<P>[];
}

const clientModel: Model<PuppetServer> = {
  courses: [
    ['ServerHello', 'Certificate', 'ServerKeyExchange', 'ServerHelloDone'],
    ['ServerHello', 'Certificate', 'ServerKeyExchange', 'CertificateRequest', 'ServerHelloDone'],
  ].flatMap((flight) => [
    [...flight, 'ChangeCipherSpec', 'Finished'],
    [
      'ServerHello with ticket',
      ...flight.slice(1),
      'NewSessionTicket',
      'ChangeCipherSpec',
      'Finished',
    ],
  ]),
  sayings: [
    ['ServerHello', (server) => server.serverHello()],
    [
      'ServerHello with ticket',
      (server) => server.serverHello({ extensions: { sessionTicket: true } }),
    ],
    ['Certificate', (server) => server.certificate()],
    ['ServerKeyExchange', (server) => server.serverKeyExchange()],
    ['CertificateRequest', (server) => server.certificateRequest()],
    ['ServerHelloDone', (server) => server.serverHelloDone()],
    ['NewSessionTicket', (server) => server.newSessionTicket()],
    ['HelloRequest', helloRequest],
    ['ClientHello', (server) => server.message(HandshakeType.client_hello, new Uint8Array(40))],
    [
      'ClientKeyExchange',
      (server) => server.message(HandshakeType.client_key_exchange, Uint8Array.of(1, 4)),
    ],
    ...shared<PuppetServer>(),
  ],
};

const serverModel: Model<PuppetClient> = {
  courses: [
    [
      'ClientHello',
      'Certificate',
      'ClientKeyExchange',
      'CertificateVerify',
      'ChangeCipherSpec',
      'Finished',
    ],
    ['ClientHello', 'empty Certificate', 'ClientKeyExchange', 'ChangeCipherSpec', 'Finished'],
  ],
  sayings: [
    ['ClientHello', (client) => client.clientHello({ cipherSuites: [0xc02b] })],
    ['Certificate', (client) => client.certificate(ours.credential.certificates)],
    ['empty Certificate', (client) => client.certificate([])],
    [
      'ClientKeyExchange',
      (client) =>
        client.suite === undefined || client.share !== undefined
          ? client.message(HandshakeType.client_key_exchange, Uint8Array.of(1, 4))
          : client.clientKeyExchange(),
    ],
    ['CertificateVerify', (client) => client.certificateVerify(ours)],
    [
      'ServerHelloDone',
      (client) => client.message(HandshakeType.server_hello_done, new Uint8Array(0)),
    ],
    ['HelloRequest', helloRequest],
    ...shared<PuppetClient>(),
  ],
};

function shared<P extends PuppetClient | PuppetServer>(): readonly Saying<P>[] {
  return [
    [
      'ChangeCipherSpec',
      (puppet) =>
        puppet.master === undefined
          ? puppet.record(ContentType.change_cipher_spec, Uint8Array.of(1))
          : puppet.changeCipherSpec(),
    ],
    ['Finished', finished],
    ['application data', (puppet) => puppet.record(ContentType.application_data, Buffer.from('x'))],
    // Not no_renegotiation, which OpenSSL takes for the end whatever its level (RFC 5246 §7.2.2 does not).
    ['a warning', (puppet) => puppet.record(ContentType.alert, Uint8Array.of(1, 112))],
    ['a fatal alert', (puppet) => puppet.record(ContentType.alert, Uint8Array.of(2, 40))],
    ['a message of type 99', (puppet) => puppet.message(99, new Uint8Array(0))],
    [
      'CertificateStatus',
      (puppet) =>
        puppet.message(HandshakeType.certificate_status, Buffer.from('0100000101', 'hex')),
    ],
  ];
}

/** Mostly a legal course, with something else now and then; ends with what nobody takes. */
function randomWalk<P>({ courses, sayings }: Model<P>, random: Random): readonly Saying<P>[] {
  const course = random.pick(courses);
  const strange = random.below(4);
  const names = [...course];
  if (strange > 0) {
    const at = random.below(names.length + 1);
    const [name] = random.pick(sayings);
    names.splice(at, random.below(2), name);
  }
  if (strange > 1) names.splice(random.below(names.length), 1);
  return names.flatMap((name) => sayings.filter(([known]) => known === name));
}

function listenerOfOurs(role: 'client' | 'server'): EngineListener {
  const handshake =
    role === 'client'
      ? createClientHandshake(
          clientConfig({ cipherSuites: suites, credentials: [ours.credential] }),
        )
      : createServerHandshake(
          serverConfig({
            cipherSuites: suites,
            namedGroups: [NamedGroup.secp256r1],
            credentials: [ours.credential],
            clientAuth: 'request',
          }),
        );
  const side = new EngineSide(handshake);
  return new EngineListener(side);
}

async function compare<P extends PuppetClient | PuppetServer>(
  role: 'client' | 'server',
  makePuppet: () => P,
  sayings: readonly Saying<P>[],
): Promise<readonly [string, string]> {
  const steps = [...sayings.map(([, say]) => say), nobodyTakes];
  const mine = await walk(listenerOfOurs(role), makePuppet(), steps, new Set());
  const expected = new Set(mine.answeredAt);
  if (mine.refusedAt !== undefined) expected.add(mine.refusedAt);
  const theirs = await walk(new OpenSslListener(role, issued), makePuppet(), steps, expected);
  const told = ({ refusedAt, alert, established }: typeof mine): string => {
    if (refusedAt === undefined) return established ? 'established' : 'open';
    const name = alert === undefined ? 'nothing' : alertName(alert);
    return `refuses step ${String(refusedAt)} with ${name}`;
  };
  return [told(mine), told(theirs)];
}

function nobodyTakes(puppet: PuppetClient | PuppetServer): Uint8Array {
  return puppet.record(99, new Uint8Array(3));
}

/** Walks on which the two differ, and how often ours came to which kind of end. */
async function differences<P extends PuppetClient | PuppetServer>(
  role: 'client' | 'server',
  model: Model<P>,
  makePuppet: () => P,
  seed: number,
): Promise<{ readonly differ: readonly string[]; readonly ends: ReadonlySet<string> }> {
  const random = new Random(seed);
  const differ: string[] = [];
  const ends = new Set<string>();
  for (let count = 0; count < walks; count++) {
    const sayings = randomWalk(model, random);
    const course = sayings.map(([name]) => name).join(', ');
    if (departures.some(({ courses }) => courses.test(course))) continue;
    const [mine, theirs] = await compare(role, makePuppet, sayings);
    ends.add(mine);
    if (mine !== theirs) differ.push(`${course}: ours ${mine}, OpenSSL ${theirs}`);
  }
  return { differ, ends };
}

/** Where OpenSSL does otherwise, and we are right; doc/state-machine.md says what we do. */
const departures: readonly { readonly courses: RegExp; readonly reason: string }[] = [
  {
    courses: /ChangeCipherSpec, a (?:warning|fatal alert)/u,
    reason:
      'OpenSSL takes no alert between ChangeCipherSpec and Finished; RFC 5246 §7.2 knows no such gap',
  },
  {
    courses: /ChangeCipherSpec, HelloRequest/u,
    reason: 'OpenSSL passes over HelloRequest there; Finished has to be next (RFC 5246 §7.1)',
  },
  {
    courses: /^a (?:warning|fatal alert), /u,
    reason: 'OpenSSL has a server refuse any alert before ClientHello; RFC 5246 §7.2 does not',
  },
];

/** Enough to meet every saying in most states. */
const walks = 150;

describe('any order of messages, with node:tls as oracle (RFC 5246 §7.3)', () => {
  it('is taken or refused by our client as by OpenSSL, with the same alert', async () => {
    const makePuppet = () => new PuppetServer(ours);
    const { differ, ends } = await differences('client', clientModel, makePuppet, 1);
    expect(differ).to.deep.equal([]);
    expect(ends).to.include('established').and.include('refuses step 2 with unexpected_message');
  });

  it('is taken or refused by our server as by OpenSSL, with the same alert', async () => {
    const makePuppet = () => new PuppetClient();
    const { differ, ends } = await differences('server', serverModel, makePuppet, 2);
    expect(differ).to.deep.equal([]);
    expect(ends).to.include('established').and.include('refuses step 2 with unexpected_message');
  });
});
