import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { generateKeyShare } from '../../src/crypto/key-exchange.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { rsaModulusBytes, signSync } from '../../src/crypto/signatures.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type {
  Action,
  ChainVerdict,
  ClientConfig,
  Credential,
  Handshake,
  HandshakeFailure,
  HandshakeResult,
  ServerConfig,
  SignAction,
  VerifyChainAction,
} from '../../src/tls/config.ts';
import { NamedGroup, SignatureScheme } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { TicketKeys } from '../../src/tls/tickets.ts';

/** A credential with its private key; the certificate is opaque bytes that stand for the key. */
export interface TestIdentity {
  readonly credential: Credential;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly keyKind: KeyKind;
}

const identities = new Map<string, TestIdentity>();

/** Key pairs are made once per process: RSA ones take long. */
const keyPairs = new Map<string, { privateKey: KeyObject; publicKey: KeyObject }>();

export function testIdentity(
  keyKind: KeyKind,
  options: {
    readonly name?: string;
    readonly dnsNames?: readonly string[];
    readonly issuerNames?: readonly Uint8Array[];
    readonly chainSchemes?: readonly number[];
    readonly certificates?: readonly Uint8Array[];
    readonly rsaModulusBytes?: number;
  } = {},
): TestIdentity {
  const { publicKey, privateKey } = keyPair(keyKind);
  const certificates = options.certificates ?? [
    Buffer.concat([Buffer.from(`leaf ${keyKind} `), randomBytes(300)]),
    randomBytes(400),
  ];
  const names = options.dnsNames ?? ['server.test'];
  const credential: Credential = {
    name: options.name ?? keyKind,
    certificates,
    keyKind,
    rsaModulusBytes: options.rsaModulusBytes ?? rsaModulusBytes(publicKey),
    matchesServerName: (name) => names.includes(name),
    issuerNames: options.issuerNames ?? [],
    chainSchemes: options.chainSchemes ?? [],
  };
  const identity = { credential, privateKey, publicKey, keyKind };
  identities.set(leafKey(certificates), identity);
  return identity;
}

function keyPair(keyKind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  const known = keyPairs.get(keyKind);
  if (known !== undefined) return known;
  const pair = generate(keyKind);
  keyPairs.set(keyKind, pair);
  return pair;
}

function generate(keyKind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  switch (keyKind) {
    case 'ecdsa-p256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ecdsa-p384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'rsa-pss':
      return generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
  }
}

function leafKey(certificates: readonly Uint8Array[]): string {
  return Buffer.from(certificates[0] ?? []).toString('hex');
}

export function clientConfig(overrides: Partial<ClientConfig> = {}): ClientConfig {
  return {
    role: 'client',
    ...common(),
    serverName: 'server.test',
    credentials: [],
    requireCredential: false,
    requireRenegotiationInfo: true,
    sessionTickets: true,
    ...overrides,
  };
}

export function serverConfig(
  overrides: Partial<ServerConfig> & Pick<ServerConfig, 'credentials'>,
): ServerConfig {
  return {
    role: 'server',
    ...common(),
    unknownServerName: 'default',
    clientAuth: 'none',
    certificateAuthorities: [],
    requireApplicationProtocol: false,
    sessionContext: Buffer.from('context'),
    ...overrides,
  };
}

function common() {
  return {
    random: (length: number) => randomBytes(length),
    generateKeyShare,
    now: () => new Date('2030-01-01T00:00:00Z'),
    cipherSuites,
    namedGroups: [NamedGroup.secp256r1, NamedGroup.x25519, NamedGroup.secp384r1],
    signatureSchemes: Object.values(SignatureScheme),
    applicationProtocols: [],
    requireExtendedMasterSecret: false,
    exporters: [],
  };
}

/** Ticket keys as long-lived as the clock of {@link clientConfig} stands still. */
export function testTickets(now: () => Date = common().now): TicketKeys {
  const hour = 3600;
  return new TicketKeys({
    now,
    random: (length) => randomBytes(length),
    lifetimeSeconds: 2 * hour,
    keyLifetimeSeconds: 24 * hour,
  });
}

/** How a test answers what the engine asks. */
export interface Answers {
  readonly sign?: (action: SignAction) => Uint8Array;
  readonly verifyChain?: (action: VerifyChainAction) => ChainVerdict;
}

/** Signs with the key that belongs to the credential's leaf. */
export function signWithIdentity({ credential, scheme, content }: SignAction): Uint8Array {
  const identity = identities.get(leafKey(credential.certificates));
  if (identity === undefined) throw new Error('no such test identity');
  return signSync(identity.privateKey, scheme, content);
}

/** Trusts every leaf made by {@link testIdentity}. */
export function trustIdentities({ certificates }: VerifyChainAction): ChainVerdict {
  const identity = identities.get(leafKey(certificates));
  if (identity === undefined) {
    return { ok: false, alert: 'unknown_ca', reason: 'unknown_ca', message: 'not a test identity' };
  }
  return { ok: true, publicKey: identity.publicKey, keyKind: identity.keyKind };
}

/** One side of a handshake with its driver: answers at once, collects what it says. */
export class EngineSide {
  readonly handshake: Handshake;
  readonly asked: (SignAction | VerifyChainAction)[] = [];
  result: HandshakeResult | undefined;
  trailingBytes = 0;
  failure: HandshakeFailure | undefined;
  readonly #answers: Answers;

  constructor(handshake: Handshake, answers: Answers = {}) {
    this.handshake = handshake;
    this.#answers = answers;
  }

  get done(): boolean {
    return this.result !== undefined || this.failure !== undefined;
  }

  start(): Buffer {
    return this.perform(this.handshake.start());
  }

  receive(bytes: Uint8Array): Buffer {
    return this.perform(this.handshake.receive(bytes));
  }

  /** Carries out actions and what follows from them; returns what is to be sent. */
  perform(actions: readonly Action[]): Buffer {
    const sent: Uint8Array[] = [];
    for (const action of actions) {
      switch (action.type) {
        case 'send':
          sent.push(action.bytes);
          break;
        case 'sign':
          this.asked.push(action);
          sent.push(
            this.perform(this.handshake.signed((this.#answers.sign ?? signWithIdentity)(action))),
          );
          break;
        case 'verifyChain':
          this.asked.push(action);
          sent.push(
            this.perform(
              this.handshake.verified((this.#answers.verifyChain ?? trustIdentities)(action)),
            ),
          );
          break;
        case 'established':
          this.result = action.result;
          this.trailingBytes = action.trailingBytes;
          break;
        case 'failed':
          this.failure = action.failure;
          break;
      }
    }
    return Buffer.concat(sent);
  }
}

export interface Exchange {
  readonly client: EngineSide;
  readonly server: EngineSide;
  /** Everything each side sent, flight by flight. */
  readonly flights: readonly { readonly from: 'client' | 'server'; readonly bytes: Buffer }[];
}

export interface ExchangeOptions {
  readonly clientAnswers?: Answers;
  readonly serverAnswers?: Answers;
  /** Changes or cuts what travels: the pieces are delivered one after the other. */
  readonly deliver?: (from: 'client' | 'server', bytes: Buffer) => readonly Uint8Array[];
}

/** Runs both roles against each other in memory until neither has anything to say. */
export function shakeHands(
  client: ClientConfig,
  server: ServerConfig,
  options: ExchangeOptions = {},
): Exchange {
  const sides = {
    client: new EngineSide(createClientHandshake(client), options.clientAnswers),
    server: new EngineSide(createServerHandshake(server), options.serverAnswers),
  };
  const deliver = options.deliver ?? ((_from, bytes) => [bytes]);
  const flights: { from: 'client' | 'server'; bytes: Buffer }[] = [];
  sides.server.start();
  let from: 'client' | 'server' = 'client';
  let bytes = sides.client.start();
  while (bytes.length > 0) {
    flights.push({ from, bytes });
    const to: 'client' | 'server' = from === 'client' ? 'server' : 'client';
    const answers: Buffer[] = [];
    for (const piece of deliver(from, bytes)) {
      if (!sides[to].done) answers.push(sides[to].receive(piece));
    }
    bytes = Buffer.concat(answers);
    from = to;
  }
  return { ...sides, flights };
}
