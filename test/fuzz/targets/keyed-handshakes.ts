import { createClientHandshake } from '../../../src/tls/client/handshake.ts';
import { AlertDescription } from '../../../src/tls/alert.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import type { ClientSession } from '../../../src/tls/config.ts';
import { HandshakeType, NamedGroup, SignatureScheme } from '../../../src/tls/registries.ts';
import { createServerHandshake } from '../../../src/tls/server/handshake.ts';
import {
  clientConfig,
  EngineSide,
  serverConfig,
  shakeHands,
  testIdentity,
  testTickets,
} from '../../support/engine-driver.ts';
import { PuppetClient, PuppetServer } from '../../support/puppet.ts';
import { seededSources } from '../../support/seeded.ts';
import { byteMutator } from '../mutator.ts';
import { pieces, randomOf } from '../random.ts';
import { broken, type Target } from '../target.ts';

/**
 * A peer that knows what it does and holds the keys says one thing wrongly, and goes on as if it
 * were right: hashes and protects it. The input says what:
 * `course, step, operation, place (2), argument, bytes`.
 */
export const keyedHandshakes: Target = {
  name: 'keyed-handshakes',
  seeds: () =>
    Array.from({ length: 96 }, (_, index) =>
      Uint8Array.of(index, index >> 2, index % operations, 0, index * 5, 1 + index, 1, 2, 3),
    ),
  mutate: byteMutator(),
  check(input) {
    const [course = 0] = input;
    const change = changeOf(input);
    const conversation = (course & 1) === 0 ? withServer(course) : withClient(course);
    return converse(conversation, change, input);
  },
};

interface Change {
  readonly step: number;
  readonly operation: number;
  readonly place: number;
  readonly argument: number;
  readonly bytes: Uint8Array;
  /** Type of the message that is not what it should have been, once it is said. */
  made: number | undefined;
}

interface Conversation {
  readonly side: EngineSide;
  readonly puppet: WrongClient | WrongServer;
  readonly steps: readonly (() => Uint8Array)[];
}

/** 0 to 4 change a message before it is hashed. */
const changesRecord = 5;
const saysNothing = 6;
const repeats = 7;
const insertsRecord = 8;
const operations = 9;

function changeOf(input: Uint8Array): Change {
  const [, step = 0, operation = 0, high = 0, low = 0, argument = 0] = input;
  return {
    step,
    operation: operation % operations,
    place: high * 256 + low,
    argument,
    bytes: input.subarray(6, 6 + 12_000),
    made: undefined,
  };
}

/** The body of a message, changed. */
function changedBody(body: Uint8Array, { operation, place, argument, bytes }: Change): Uint8Array {
  const at = place % (body.length + 1);
  switch (operation) {
    case 0: {
      const changed = Uint8Array.from(body);
      if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ argument;
      return changed;
    }
    case 1:
      return Buffer.concat([body.subarray(0, at), bytes, body.subarray(at)]);
    case 2:
      return Buffer.concat([body.subarray(0, at), body.subarray(at + argument)]);
    case 3:
      return bytes;
    default:
      return body;
  }
}

function converse(conversation: Conversation, change: Change, input: Uint8Array): string {
  const { side, puppet, steps } = conversation;
  const random = randomOf(input);
  const at = change.step % steps.length;
  let alerts = 0;
  let finishedSaid = false;
  for (const [index, step] of steps.entries()) {
    const isLast = index === steps.length - 1;
    const bytes = attempt(() => (index === at ? spoken(step, isLast, change, puppet) : step()));
    if (bytes === undefined) break;
    finishedSaid ||= isLast;
    for (const piece of pieces(bytes, random)) {
      if (side.done) break;
      const answer = side.receive(piece);
      const alert = attempt(() => puppet.take(answer) ?? -1);
      if (side.failure === undefined && alert !== undefined && alert >= 0) broken('alert, no end');
      if (side.failure !== undefined && answer.length > 0) alerts += 1;
      if (alert !== undefined && alert >= 0) checkAlert(side, alert);
    }
    if (side.done) break;
  }
  return ending(side, change, alerts, finishedSaid);
}

/** What the puppet says at the step that is changed. */
function spoken(
  step: () => Uint8Array,
  isLast: boolean,
  change: Change,
  puppet: WrongClient | WrongServer,
): Uint8Array {
  const { operation, argument, bytes, place } = change;
  switch (operation) {
    case changesRecord: {
      const record = Uint8Array.from(step());
      const at = place % record.length;
      record[at] = (record[at] ?? 0) ^ (argument | 1);
      // Before there are keys some bits of a header mean nothing.
      change.made = isLast ? HandshakeType.finished : undefined;
      return record;
    }
    case saysNothing: {
      const [type] = step().subarray(5);
      if (isLast || !optional.includes(type)) change.made = HandshakeType.finished;
      return new Uint8Array(0);
    }
    case repeats: {
      const record = step();
      if (!isLast) change.made = HandshakeType.finished;
      return Buffer.concat([record, record]);
    }
    case insertsRecord: {
      const inserted = puppet.record(20 + (argument % 5), bytes.subarray(0, 300));
      return Buffer.concat([inserted, step()]);
    }
    default:
      puppet.change = change;
      try {
        return step();
      } finally {
        puppet.change = undefined;
      }
  }
}

function ending(side: EngineSide, change: Change, alerts: number, finishedSaid: boolean): string {
  const { failure, result } = side;
  // A puppet may send this alert, too.
  if (failure?.kind === 'local' && failure.alert === 'internal_error')
    broken(`internal error: ${String(failure.cause)}`);
  if (alerts > 1) broken('more than one alert');
  if (failure?.kind === 'peer' && alerts !== 1) broken('refused without an alert');
  if (result !== undefined) {
    if (!finishedSaid) broken('established before Finished');
    if (change.made !== undefined && proofs.includes(change.made)) {
      broken(`established with a wrong message of type ${String(change.made)}`);
    }
  }
  side.handshake.wipe();
  const phase = failure?.phase ?? side.handshake.phase;
  return `${phase} ${failure?.alert ?? ''} ${failure?.reason ?? ''} ${String(change.made ?? '')}`;
}

function checkAlert({ failure }: EngineSide, alert: number): void {
  const name = Object.entries(AlertDescription).find(([, number]) => number === alert)?.[0];
  if (failure?.alert !== name) broken(`sent ${String(name)}, reports ${String(failure?.alert)}`);
}

/** The puppet may find that it cannot go on: then it falls silent. */
function attempt<T>(speak: () => T): T | undefined {
  try {
    return speak();
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** Puts a change into what is said, before it is hashed. */
function said(type: number, body: Uint8Array, change: Change | undefined): [number, Uint8Array] {
  if (change === undefined) return [type, body];
  const changedType = change.operation === 4 ? change.argument : type;
  const changed = changedBody(body, change);
  if (changedType !== type || Buffer.compare(changed, body) !== 0) change.made = type;
  return [changedType, changed];
}

class WrongServer extends PuppetServer {
  /** For what is said next. */
  change: Change | undefined;

  override unsent(type: number, body: Uint8Array): Uint8Array {
    return super.unsent(...said(type, body, this.change));
  }
}

class WrongClient extends PuppetClient {
  /** For what is said next. */
  change: Change | undefined;

  override unsent(type: number, body: Uint8Array): Uint8Array {
    return super.unsent(...said(type, body, this.change));
  }
}

function withServer(course: number): Conversation {
  const resumes = (course & 2) !== 0;
  const promisesTicket = (course & 4) !== 0;
  const asks = (course & 8) !== 0;
  const staples = (course & 16) !== 0;
  const server = new WrongServer(identity);
  const sources = seededSources('fuzz server');
  server.serverRandom = sources.random(32);
  server.share = sources.generateKeyShare(NamedGroup.secp256r1);
  const side = new EngineSide(
    createClientHandshake(
      clientConfig({
        ...seededSources('fuzz'),
        credentials: [own.credential],
        ...(resumes ? { session } : {}),
      }),
    ),
  );
  server.take(side.start());
  const extensions = { sessionTicket: promisesTicket, statusRequest: staples && !resumes };
  const hello = () => {
    const sessionId = resumes ? (server.hello?.sessionId ?? new Uint8Array(0)) : new Uint8Array(0);
    const record = server.serverHello({ sessionId, extensions });
    if (resumes) server.master = session.masterSecret;
    return record;
  };
  const scheme = SignatureScheme.ed25519;
  const full = [
    () => server.certificate(),
    ...(staples ? [() => server.certificateStatus()] : []),
    () => server.serverKeyExchange({ scheme }),
    ...(asks ? [() => server.certificateRequest()] : []),
    () => server.serverHelloDone(),
  ];
  const steps = [
    hello,
    ...(resumes ? [] : full),
    ...(promisesTicket ? [() => server.newSessionTicket(new Uint8Array(60).fill(8))] : []),
    () => server.changeCipherSpec(),
    () => server.finished(),
  ];
  return { side, puppet: server, steps };
}

function withClient(course: number): Conversation {
  const resumes = (course & 2) !== 0;
  const shows = !resumes && (course & 4) !== 0;
  const hasTickets = resumes || (course & 8) !== 0;
  const sources = seededSources('fuzz client');
  const client = new WrongClient();
  client.clientRandom = sources.random(32);
  client.share = sources.generateKeyShare(NamedGroup.secp256r1);
  const side = new EngineSide(
    createServerHandshake(
      serverConfig({
        ...seededSources('fuzz'),
        credentials: [identity.credential],
        clientAuth: shows ? 'request' : 'none',
        ...(hasTickets ? { tickets } : {}),
      }),
    ),
  );
  side.start();
  if (resumes) client.master = resumable.masterSecret;
  const hello = () =>
    client.clientHello(
      resumes
        ? {
            sessionId: new Uint8Array(32).fill(1),
            extensions: { sessionTicket: resumable.ticket },
          }
        : {},
    );
  const full = [
    ...(shows ? [() => client.certificate(own.credential.certificates)] : []),
    () => client.clientKeyExchange(),
    ...(shows ? [() => client.certificateVerify(own, { scheme: SignatureScheme.ed25519 })] : []),
  ];
  const steps = [
    hello,
    ...(resumes ? [] : full),
    () => client.changeCipherSpec(),
    () => client.finished(),
  ];
  return { side, puppet: client, steps };
}

function fixedIdentity(name: string) {
  const certificates = [`leaf of ${name}`, `intermediate of ${name}`].map((text) =>
    Buffer.from(text.padEnd(200, '.')),
  );
  return testIdentity('ed25519', { name, certificates });
}

const identity = fixedIdentity('fuzzed server');
const own = fixedIdentity('fuzzed client');
const tickets = testTickets(seededSources('fuzz').now);

/** What a server may say or not. */
const optional: readonly (number | undefined)[] = [
  HandshakeType.certificate_request,
  HandshakeType.certificate_status,
];

/** What no handshake may be finished without, unchanged. */
const proofs: readonly number[] = [
  HandshakeType.server_key_exchange,
  HandshakeType.client_key_exchange,
  HandshakeType.certificate_verify,
  HandshakeType.finished,
];

const session: ClientSession = {
  ticket: new Uint8Array(50).fill(7),
  cipherSuite: cipherSuites[0]!,
  masterSecret: new Uint8Array(48).fill(9),
  serverName: 'server.test',
  createdAt: new Date('2025-12-31T23:00:00Z'),
  lifetimeHintSeconds: 7200,
  peerCertificates: identity.credential.certificates,
  credential: undefined,
};

/** A session with our server. */
const resumable = ((): ClientSession => {
  const { now } = seededSources('fuzz');
  const made = shakeHands(
    clientConfig({ now }),
    serverConfig({ now, credentials: [identity.credential], tickets }),
  ).client.result?.session;
  if (made === undefined) throw new Error('no ticket');
  return made;
})();
