import { readFileSync } from 'node:fs';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { schemesForKey } from '../../src/crypto/signatures.ts';
import { cipherSuites, type CipherSuite } from '../../src/tls/cipher-suites.ts';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type {
  ClientConfig,
  ClientSession,
  Credential,
  ExporterRequest,
  Handshake,
  HandshakeConfig,
  ServerConfig,
  TicketProtector,
} from '../../src/tls/config.ts';
import { NamedGroup, SignatureScheme } from '../../src/tls/registries.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { TicketKeys } from '../../src/tls/tickets.ts';
import { readFlightLog, type FlightLog } from '../support/flight-log.ts';
import { seededSources } from '../support/seeded.ts';

/** One recorded handshake, or a few in a row that share tickets. The peer was `node:tls`. */
export interface Scenario {
  /** Name of the file in `flights/`. */
  readonly name: string;
  readonly role: 'client' | 'server';
  readonly connections: number;
  /** The server's key, whoever that is. */
  readonly serverKey: KeyKind;
  /** The client's key; absent: it has none. */
  readonly clientKey?: KeyKind;
  readonly suite?: string;
  readonly group?: NamedGroup;
  readonly clientAuth?: ServerConfig['clientAuth'];
  readonly applicationProtocols?: readonly string[];
  readonly tickets?: boolean;
  /** What the peer's TLSSocket gets besides. */
  readonly peer?: {
    readonly ALPNProtocols?: readonly string[];
    readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
    readonly ciphers?: string;
  };
  /** How the last connection ends. */
  readonly ends: 'established' | 'failed';
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'client-ecdsa-p256',
    role: 'client',
    connections: 1,
    serverKey: 'ecdsa-p256',
    suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    applicationProtocols: ['h2', 'http/1.1'],
    peer: { ALPNProtocols: ['http/1.1'] },
    ends: 'established',
  },
  {
    name: 'client-rsa-x25519-mutual',
    role: 'client',
    connections: 1,
    serverKey: 'rsa',
    clientKey: 'ecdsa-p256',
    suite: 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
    group: NamedGroup.x25519,
    ends: 'established',
  },
  {
    name: 'client-ed25519-p384-mutual-rsa',
    role: 'client',
    connections: 1,
    serverKey: 'ed25519',
    clientKey: 'rsa',
    suite: 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    group: NamedGroup.secp384r1,
    ends: 'established',
  },
  {
    name: 'client-resumed',
    role: 'client',
    connections: 2,
    serverKey: 'ecdsa-p256',
    clientKey: 'ed25519',
    suite: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    tickets: true,
    ends: 'established',
  },
  {
    name: 'client-no-shared-suite',
    role: 'client',
    connections: 1,
    serverKey: 'ecdsa-p256',
    suite: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
    ends: 'failed',
  },
  {
    name: 'server-ecdsa-p256',
    role: 'server',
    connections: 1,
    serverKey: 'ecdsa-p256',
    applicationProtocols: ['h2'],
    peer: { ALPNProtocols: ['http/1.1', 'h2'] },
    ends: 'established',
  },
  {
    name: 'server-for-who-prefers-chacha20',
    role: 'server',
    connections: 1,
    serverKey: 'ed25519',
    peer: { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256' },
    ends: 'established',
  },
  {
    name: 'server-offered-tls13',
    role: 'server',
    connections: 1,
    serverKey: 'rsa-pss',
    peer: { maxVersion: 'TLSv1.3' },
    ends: 'established',
  },
  {
    name: 'server-mutual-rsa-chacha20',
    role: 'server',
    connections: 1,
    serverKey: 'rsa',
    clientKey: 'rsa',
    suite: 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
    group: NamedGroup.x25519,
    clientAuth: 'require',
    ends: 'established',
  },
  {
    name: 'server-mutual-resumed',
    role: 'server',
    connections: 2,
    serverKey: 'ecdsa-p384',
    clientKey: 'ecdsa-p256',
    suite: 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
    clientAuth: 'require',
    tickets: true,
    ends: 'established',
  },
  {
    name: 'server-certificate-requested-in-vain',
    role: 'server',
    connections: 1,
    serverKey: 'ecdsa-p256',
    clientAuth: 'request',
    ends: 'established',
  },
  {
    name: 'server-certificate-required-in-vain',
    role: 'server',
    connections: 1,
    serverKey: 'ecdsa-p256',
    clientAuth: 'require',
    ends: 'failed',
  },
  {
    name: 'server-no-shared-protocol',
    role: 'server',
    connections: 1,
    serverKey: 'ecdsa-p256',
    applicationProtocols: ['h2'],
    peer: { ALPNProtocols: ['http/1.1'] },
    ends: 'failed',
  },
];

/** What every handshake exports. */
export const exporters: readonly ExporterRequest[] = [
  { label: 'EXPORTER-recorded', length: 32 },
  { label: 'EXPORTER-recorded', length: 20, context: Uint8Array.of(1, 2, 3) },
];

/** Where the log of a scenario is kept. */
export function flightFile({ name }: Scenario): URL {
  return new URL(`flights/${name}.txt`, import.meta.url);
}

export function loadFlight(scenario: Scenario): FlightLog {
  return readFlightLog(readFileSync(flightFile(scenario), 'utf8'));
}

/** Makes the engines of one scenario, one per connection, each as it was when recorded. */
export class ScenarioEngines {
  readonly #scenario: Scenario;
  readonly #credentials: readonly Credential[];
  readonly #tickets: TicketProtector | undefined;
  #made = 0;

  constructor(scenario: Scenario, credential: readonly Uint8Array[]) {
    this.#scenario = scenario;
    this.#credentials = credential.length === 0 ? [] : [credentialOf(scenario, credential)];
    if (scenario.role === 'server' && scenario.tickets === true) {
      const { now, random } = seededSources(`${scenario.name} tickets`);
      this.#tickets = new TicketKeys({
        now,
        random,
        lifetimeSeconds: 7200,
        keyLifetimeSeconds: 14400,
      });
    }
  }

  /** @param session - what the connection before gave a client to resume. */
  next(session?: ClientSession): Handshake {
    const { name, role } = this.#scenario;
    this.#made += 1;
    const shared = sharedConfig(this.#scenario, `${name} ${String(this.#made)}`);
    if (role === 'client') return createClientHandshake(this.#client(shared, session));
    return createServerHandshake(this.#server(shared));
  }

  #client(shared: HandshakeConfig, session: ClientSession | undefined): ClientConfig {
    return {
      ...shared,
      role: 'client',
      serverName: 'server.test',
      credentials: this.#credentials,
      requireCredential: false,
      requireRenegotiationInfo: true,
      sessionTickets: this.#scenario.tickets === true,
      ...(session === undefined ? {} : { session }),
    };
  }

  #server(shared: HandshakeConfig): ServerConfig {
    return {
      ...shared,
      role: 'server',
      credentials: this.#credentials,
      unknownServerName: 'default',
      clientAuth: this.#scenario.clientAuth ?? 'none',
      certificateAuthorities: [],
      requireApplicationProtocol: false,
      ...(this.#tickets === undefined ? {} : { tickets: this.#tickets }),
      sessionContext: Uint8Array.of(1),
    };
  }
}

/** What our side of a scenario shows. */
export function ourKey({ role, serverKey, clientKey }: Scenario): KeyKind | undefined {
  return role === 'server' ? serverKey : clientKey;
}

function sharedConfig(scenario: Scenario, seed: string): HandshakeConfig {
  return {
    ...seededSources(seed),
    cipherSuites: suitesOf(scenario),
    namedGroups:
      scenario.group === undefined
        ? [NamedGroup.secp256r1, NamedGroup.x25519, NamedGroup.secp384r1]
        : [scenario.group, ...curveOfKeys],
    signatureSchemes: Object.values(SignatureScheme),
    applicationProtocols: scenario.applicationProtocols ?? [],
    requireExtendedMasterSecret: true,
    exporters,
  };
}

function suitesOf({ suite }: Scenario): readonly CipherSuite[] {
  return suite === undefined ? cipherSuites : cipherSuites.filter(({ name }) => name === suite);
}

function credentialOf(scenario: Scenario, certificates: readonly Uint8Array[]): Credential {
  const keyKind = ourKey(scenario) ?? 'ecdsa-p256';
  const rsaModulusBytes = keyKind.startsWith('rsa') ? 256 : 0;
  return {
    name: keyKind,
    certificates,
    keyKind,
    rsaModulusBytes,
    matchesServerName: (name) => name === 'server.test',
    issuerNames: [],
    chainSchemes: schemesForKey('ecdsa-p256', 0),
  };
}

/** Groups that stand for the curves of certificates, too (RFC 8422 §5.1.1): last, so not chosen. */
const curveOfKeys: readonly NamedGroup[] = [NamedGroup.secp256r1];
