import { randomBytes } from 'node:crypto';
import {
  encodeCertificateRequest,
  parseCertificateRequest,
} from '../../../src/tls/messages/certificate-request.ts';
import {
  encodeCertificateStatus,
  parseCertificateStatus,
} from '../../../src/tls/messages/certificate-status.ts';
import {
  encodeCertificateVerify,
  parseCertificateVerify,
} from '../../../src/tls/messages/certificate-verify.ts';
import { encodeCertificate, parseCertificate } from '../../../src/tls/messages/certificate.ts';
import { encodeClientHello, parseClientHello } from '../../../src/tls/messages/client-hello.ts';
import {
  encodeClientKeyExchange,
  parseClientKeyExchange,
} from '../../../src/tls/messages/client-key-exchange.ts';
import { encodeFinished, parseFinished } from '../../../src/tls/messages/finished.ts';
import {
  encodeNewSessionTicket,
  parseNewSessionTicket,
} from '../../../src/tls/messages/new-session-ticket.ts';
import { encodeServerHello, parseServerHello } from '../../../src/tls/messages/server-hello.ts';
import {
  encodeServerKeyExchange,
  parseServerKeyExchange,
} from '../../../src/tls/messages/server-key-exchange.ts';
import { HandshakeType } from '../../../src/tls/registries.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import { decodeServerSession, encodeServerSession } from '../../../src/tls/session-state.ts';
import { TicketKeys } from '../../../src/tls/tickets.ts';
import { bareHello, browserHello, extensionBlock, toolHello } from '../../support/client-hellos.ts';
import { peerParts } from '../../support/flight-replay.ts';
import { loadFlight, scenarios } from '../../vectors/scenarios.ts';
import { byteMutator } from '../mutator.ts';
import { broken, isPeersFault, kindOf, mustEqual, valueOrError, type Target } from '../target.ts';

/** Bodies of handshake messages; the first byte is the type. */
export const handshakeMessages: Target = {
  name: 'handshake-messages',
  seeds: () => [
    ...scenarios.flatMap((scenario) =>
      loadFlight(scenario).connections.flatMap((connection) =>
        peerParts(connection).flatMap((part) =>
          part.kind === 'message'
            ? [Buffer.concat([part.raw.subarray(0, 1), part.raw.subarray(4)])]
            : [],
        ),
      ),
    ),
    ...[browserHello('server.test'), toolHello('server.test'), bareHello()].map((hello) =>
      Buffer.concat([Uint8Array.of(HandshakeType.client_hello), hello]),
    ),
    Buffer.from(`14${'00'.repeat(12)}`, 'hex'),
    Buffer.from('0400000e10000401020304', 'hex'),
    Buffer.from('160100000401020304', 'hex'),
    Buffer.from('0d0240010006040308040401000430023100', 'hex'),
  ],
  mutate: byteMutator(),
  check(input) {
    const codec = codecs.get(input[0] ?? 0);
    return codec === undefined ? 'no codec' : codec(input.subarray(1));
  },
};

/** Extension blocks with every length around them right: the first byte chooses the hello. */
export const extensions: Target = {
  name: 'extensions',
  seeds: () =>
    [
      ['0000', '000e00000b7365727665722e74657374'],
      ['0005', '0100000000'],
      ['000a', '0006001d00170018'],
      ['000b', '0100'],
      ['000d', '000604030804 0401'],
      ['0010', '000c02683208687474702f312e31'],
      ['0015', '000000'],
      ['0017', ''],
      ['0023', '0102030405'],
      ['002b', '0403040303'],
      ['0032', '000404030804'],
      ['ff01', '00'],
      ['fafa', '00'],
    ].flatMap((pair, index, all) => {
      const blocks = [[pair], all.slice(index), [...all.slice(0, index), pair]];
      return [0, 1].flatMap((hello) =>
        blocks.map((block) =>
          Buffer.concat([
            Uint8Array.of(hello),
            extensionBlock(block.map(([type = '', body = '']) => [type, body])).subarray(2),
          ]),
        ),
      );
    }),
  mutate: byteMutator(),
  check(input) {
    const block = input.subarray(1, 65_000);
    const [type, start] =
      (input[0] ?? 0) % 2 === 0
        ? [HandshakeType.client_hello, `0303${'01'.repeat(32)}000002c02b0100`]
        : [HandshakeType.server_hello, `0303${'02'.repeat(32)}00c02b00`];
    const length = Uint8Array.of(block.length >> 8, block.length & 255);
    const body = Buffer.concat([Buffer.from(start, 'hex'), length, block]);
    const kind = codecs.get(type)?.(body) ?? '';
    if (kind.startsWith('well formed') && hasDuplicate(block)) broken('an extension comes twice');
    return kind;
  },
};

/** Reads a block that is well formed. */
function hasDuplicate(block: Uint8Array): boolean {
  const view = Buffer.from(block);
  const types: number[] = [];
  for (let at = 0; at < view.length; at += 4 + view.readUInt16BE(at + 2)) {
    types.push(view.readUInt16BE(at));
  }
  return new Set(types).size < types.length;
}

/** What was in a session ticket of ours, and tickets themselves: garbage means a full handshake. */
export const tickets: Target = {
  name: 'tickets',
  seeds: () => [
    encodeServerSession(session),
    encodeServerSession({ ...session, serverName: undefined }),
  ],
  mutate: byteMutator(),
  check(input) {
    if (ticketKeys.open(input) !== undefined) broken('a ticket nobody sealed is opened');
    const decoded = decodeServerSession(input);
    if (decoded === undefined) return 'none';
    mustEqual('written anew', encodeServerSession(decoded), input);
    return `session ${String(decoded.peerCertificates.length)} ${decoded.clientAuth}`;
  },
};

const session: Parameters<typeof encodeServerSession>[0] = {
  cipherSuite: cipherSuites[0]!,
  extendedMasterSecret: true,
  masterSecret: new Uint8Array(48).fill(3),
  createdAt: new Date('2026-01-02T03:04:05Z'),
  serverName: 'server.test',
  credentialFingerprint: new Uint8Array(32).fill(4),
  clientAuth: 'request',
  sessionContext: Uint8Array.of(1, 2),
  peerCertificates: [Uint8Array.of(0x30, 0), Uint8Array.of(0x30, 1, 0)],
};

const ticketKeys = new TicketKeys({
  now: () => new Date('2026-01-02T03:04:05Z'),
  random: (length) => randomBytes(length),
  lifetimeSeconds: 7200,
  keyLifetimeSeconds: 14_400,
});

/** Parses, and if that works, checks that what we would write reads the same. */
function codec<T>(
  parse: (body: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
): (body: Uint8Array) => string {
  return (body) => {
    const outcome = valueOrError(() => parse(body), isPeersFault);
    if ('error' in outcome) return kindOf(outcome.error);
    const written = encode(outcome.value);
    mustEqual('written anew', encode(parse(written)), written);
    return `well formed, ${written.length === body.length ? 'as we write it' : 'otherwise'}`;
  };
}

const codecs = new Map<number, (body: Uint8Array) => string>([
  [HandshakeType.client_hello, codec(parseClientHello, encodeClientHello)],
  [HandshakeType.server_hello, codec(parseServerHello, encodeServerHello)],
  [HandshakeType.new_session_ticket, codec(parseNewSessionTicket, encodeNewSessionTicket)],
  [HandshakeType.certificate, codec(parseCertificate, encodeCertificate)],
  [HandshakeType.server_key_exchange, codec(parseServerKeyExchange, encodeServerKeyExchange)],
  [HandshakeType.certificate_request, codec(parseCertificateRequest, encodeCertificateRequest)],
  [HandshakeType.certificate_verify, codec(parseCertificateVerify, encodeCertificateVerify)],
  [HandshakeType.client_key_exchange, codec(parseClientKeyExchange, encodeClientKeyExchange)],
  [HandshakeType.finished, codec(parseFinished, encodeFinished)],
  [HandshakeType.certificate_status, codec(parseCertificateStatus, encodeCertificateStatus)],
]);
