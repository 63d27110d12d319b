import { expect } from 'chai';
import fc from 'fast-check';
import type { AlertName } from '../../src/tls/alert.ts';
import { ContentType, HandshakeType } from '../../src/tls/registries.ts';
import {
  messagePart,
  partBytes,
  recordOf,
  runEngine,
  type PeerPart,
} from '../support/flight-replay.ts';
import { FlightSubject, outcomeLines, type Mutation } from '../support/flight-subject.ts';
import { scenarios } from '../vectors/scenarios.ts';

const withoutPart = (parts: readonly PeerPart[], index: number): readonly PeerPart[] =>
  parts.toSpliced(index, 1);

function* omissions(parts: readonly PeerPart[]): Generator<Mutation> {
  for (const index of parts.keys()) {
    yield { name: `part ${String(index)} left out`, parts: withoutPart(parts, index) };
  }
}

/** The last part twice is a handshake with something behind it: not among these. */
function* repetitions(parts: readonly PeerPart[]): Generator<Mutation> {
  for (const [index, part] of parts.slice(0, -1).entries()) {
    yield { name: `part ${String(index)} twice`, parts: parts.toSpliced(index, 0, part) };
  }
}

function* exchanges(parts: readonly PeerPart[]): Generator<Mutation> {
  for (const [index, part] of parts.entries()) {
    for (let to = index + 1; to < parts.length; to++) {
      const moved = withoutPart(parts, index).toSpliced(to, 0, part);
      yield { name: `part ${String(index)} moved to ${String(to)}`, parts: moved };
    }
  }
}

function* insertions(
  parts: readonly PeerPart[],
  inserted: Iterable<readonly [string, PeerPart]>,
): Generator<Mutation> {
  for (const [what, part] of inserted) {
    for (const index of parts.keys()) {
      yield {
        name: `${what} before part ${String(index)}`,
        parts: parts.toSpliced(index, 0, part),
      };
    }
  }
}

/** Every message in two records with another record between them. */
function* interruptions(parts: readonly PeerPart[], by: Uint8Array): Generator<Mutation> {
  for (const [index, part] of parts.entries()) {
    if (part.kind !== 'message') continue;
    const half = Math.ceil(part.raw.length / 2);
    const records = [
      recordOf(22, part.raw.subarray(0, half)),
      by,
      recordOf(22, part.raw.subarray(half)),
    ];
    const interrupted: PeerPart = { kind: 'record', bytes: Buffer.concat(records) };
    yield { name: `part ${String(index)} interrupted`, parts: parts.with(index, interrupted) };
  }
}

/** Bodies cut short or grown, once with a length that fits and once with the old one. */
function* resizings(parts: readonly PeerPart[]): Generator<Mutation> {
  for (const [index, part] of parts.entries()) {
    if (part.kind !== 'message') continue;
    const length = part.raw.length;
    const ends = new Set([4, 5, 4 + Math.floor((length - 4) / 2), length - 2, length - 1]);
    const bodies = [...ends]
      .filter((end) => end >= 4 && end < length)
      .map((end) => part.raw.subarray(0, end));
    bodies.push(Buffer.concat([part.raw, Uint8Array.of(0)]), Buffer.concat([part.raw, part.raw]));
    for (const raw of bodies) {
      const name = `part ${String(index)} of ${String(length)} with ${String(raw.length)} bytes`;
      yield { name: `${name}, length kept`, parts: parts.with(index, { kind: 'message', raw }) };
      yield { name, parts: parts.with(index, { kind: 'message', raw: withLength(raw) }) };
    }
  }
}

/** One bit of every byte; of what is long (certificates, tickets), of some bytes all over it. */
function* flips(parts: readonly PeerPart[]): Generator<Mutation> {
  for (const [index, part] of parts.entries()) {
    const bytes = part.kind === 'message' ? part.raw : part.bytes;
    const step = Math.ceil(bytes.length / 150);
    for (let position = 0; position < bytes.length; position += step) {
      const isHeader = part.kind === 'record' && position < 5;
      // The version in the header of a first record is anybody's guess; the rest is framing's.
      if (isHeader) continue;
      const changed = Uint8Array.from(bytes);
      changed[position] = (changed[position] ?? 0) ^ (1 << (position % 8));
      const flipped: PeerPart =
        part.kind === 'message'
          ? { kind: 'message', raw: changed }
          : { kind: 'record', bytes: changed };
      yield {
        name: `part ${String(index)} with byte ${String(position)} changed`,
        parts: parts.with(index, flipped),
      };
    }
  }
}

function withLength(raw: Uint8Array): Uint8Array {
  const resized = Buffer.from(raw);
  resized.writeUIntBE(resized.length - 4, 1, 3);
  return resized;
}

const strangers: readonly (readonly [string, PeerPart])[] = [
  ...Object.entries(HandshakeType)
    .filter(([, type]) => type !== HandshakeType.hello_request)
    .map(([name, type]) => [name, messagePart(type, new Uint8Array(0))] as const),
  ['an unknown message', { kind: 'message', raw: Uint8Array.of(99, 0, 0, 0) }],
  ['message_hash', { kind: 'message', raw: Uint8Array.of(254, 0, 0, 0) }],
  ['application data', { kind: 'record', bytes: recordOf(23, Uint8Array.of(1)) }],
  ['heartbeat', { kind: 'record', bytes: recordOf(24, Uint8Array.of(1, 0, 0)) }],
  ['an empty record', { kind: 'record', bytes: recordOf(22, new Uint8Array(0)) }],
  ['ChangeCipherSpec', { kind: 'record', bytes: recordOf(20, Uint8Array.of(1)) }],
];

const helloRequest = [
  'hello_request',
  messagePart(HandshakeType.hello_request, new Uint8Array(0)),
] as const;

/** What a change of the order comes to. */
const order: readonly AlertName[] = [
  'unexpected_message',
  // An early ChangeCipherSpec or a late message changes keys or transcript: Finished fails.
  'bad_record_mac',
  // The nonce of a Finished read as plaintext is two HelloRequests, and then anything.
  'illegal_parameter',
  'decode_error',
];

for (const scenario of scenarios.filter(({ ends }) => ends === 'established')) {
  describe(`changed flight ${scenario.name} (RFC 5246 §7.2.2, §7.3)`, () => {
    const subject = new FlightSubject(scenario);
    const { parts } = subject;

    it('is still the recorded one when every message has its own record', () => {
      const { result, trailingBytes } = subject.run(partBytes(parts));
      expect(result?.read.sequenceNumber).to.equal(1n);
      expect(trailingBytes).to.equal(0);
    });

    it('leaves what comes behind Finished to the application', () => {
      const behind = recordOf(23, Uint8Array.of(1, 2, 3));
      expect(subject.run(Buffer.concat([partBytes(parts), behind])).trailingBytes).to.equal(8);
    });

    for (const [what, mutations] of [
      ['anything left out', omissions],
      ['anything said twice', repetitions],
      ['anything said too late', exchanges],
    ] as const) {
      it(`is refused with ${what}`, () => {
        for (const mutation of mutations(parts)) {
          const alert = subject.refuse(mutation);
          if (alert !== undefined) expect(order, mutation.name).to.include(alert);
        }
      });
    }

    it('is refused with anything said out of place', () => {
      // A client ignores HelloRequest (RFC 5246 §7.4.1.1); to a server it is as strange as the rest.
      const all = scenario.role === 'server' ? [...strangers, helloRequest] : strangers;
      for (const mutation of insertions(parts, all)) {
        expect(subject.refuse(mutation), mutation.name).to.be.oneOf(order);
      }
    });

    for (const [what, by] of [
      ['ChangeCipherSpec', recordOf(20, Uint8Array.of(1))],
      ['application data', recordOf(23, Uint8Array.of(1))],
    ] as const) {
      it(`is refused with ${what} inside a message (RFC 5246 §6.2.1)`, () => {
        for (const mutation of interruptions(parts, by)) {
          expect(subject.refuse(mutation), mutation.name).to.equal('unexpected_message');
        }
      });
    }

    it('is the same with a warning inside any message', () => {
      const whole = outcomeLines(subject.run(partBytes(parts)));
      const noRenegotiation = recordOf(ContentType.alert, Uint8Array.of(1, 100));
      for (const mutation of interruptions(parts, noRenegotiation)) {
        expect(outcomeLines(subject.run(partBytes(mutation.parts))), mutation.name).to.deep.equal(
          whole,
        );
      }
    });

    it('is refused with a message begun before ChangeCipherSpec and ended after it', () => {
      const ccs = parts.findIndex((part) => part.kind === 'record');
      const begun: PeerPart = { kind: 'record', bytes: recordOf(22, Uint8Array.of(20, 0)) };
      const mutation = { name: 'Finished begun early', parts: parts.toSpliced(ccs, 0, begun) };
      expect(subject.refuse(mutation)).to.equal('unexpected_message');
    });

    it('is refused with any body of another length', () => {
      for (const mutation of resizings(parts)) subject.refuse(mutation);
    });

    it('is refused with any bit changed', () => {
      for (const mutation of flips(parts)) subject.refuse(mutation);
    });

    it('is refused with several changes at once', () => {
      const all = [omissions, repetitions, exchanges, resizings, flips];
      const change = fc.record({ kind: fc.nat({ max: all.length - 1 }), pick: fc.nat() });
      fc.assert(
        fc.property(fc.array(change, { minLength: 2, maxLength: 4 }), (changes) => {
          let changed = parts;
          for (const { kind, pick } of changes) {
            const choices = [...(all[kind] ?? omissions)(changed)];
            changed = choices[pick % Math.max(choices.length, 1)]?.parts ?? changed;
          }
          const engine = subject.engine();
          const { alerts, failure } = runEngine(engine, subject.connection, [partBytes(changed)]);
          expect(alerts).to.be.at.most(1);
          expect(failure?.alert).not.to.equal('internal_error');
        }),
        { numRuns: 60 },
      );
    });

    it('is the same however it is cut in two', () => {
      const bytes = partBytes(parts);
      const whole = outcomeLines(subject.run(bytes));
      for (let cut = 1; cut < bytes.length; cut += 19) {
        const outcome = subject.run(bytes.subarray(0, cut), bytes.subarray(cut));
        expect(outcomeLines(outcome), `cut at ${String(cut)}`).to.deep.equal(whole);
      }
    });

    it('comes to nothing when it ends early', () => {
      const bytes = partBytes(parts);
      for (let end = 0; end < bytes.length; end += 17) {
        const outcome = subject.run(bytes.subarray(0, end));
        expect([outcome.result, outcome.failure]).to.deep.equal([undefined, undefined]);
      }
    });

    it('ends with a fatal alert of the peer, which is not answered', () => {
      const alert: PeerPart = {
        kind: 'record',
        bytes: recordOf(ContentType.alert, Uint8Array.of(2, 40)),
      };
      const finished = parts.length - 1;
      for (const mutation of insertions(parts.slice(0, finished), [['an alert', alert]])) {
        const { failure, alerts } = subject.run(partBytes(mutation.parts));
        expect(failure?.kind, mutation.name).to.equal('peer_alert');
        expect(alerts, mutation.name).to.equal(0);
      }
    });
  });
}
