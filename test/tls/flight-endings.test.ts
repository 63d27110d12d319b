import { expect } from 'chai';
import type { AlertName } from '../../src/tls/alert.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import { encodeHandshakeMessage } from '../../src/tls/messages/handshake-message.ts';
import { createRecordSealer } from '../../src/tls/record/protection.ts';
import { ContentType, HandshakeType } from '../../src/tls/registries.ts';
import { partBytes, recordOf, type PeerPart } from '../support/flight-replay.ts';
import { FlightSubject, outcomeLines } from '../support/flight-subject.ts';
import { scenarios } from '../vectors/scenarios.ts';

interface Piece {
  readonly type: ContentType;
  readonly bytes: Uint8Array;
}

interface Ending {
  readonly name: string;
  /** What the peer protects instead of its Finished, one record each. */
  readonly records: readonly Piece[];
  /** What that comes to. */
  readonly alert: AlertName | 'established' | 'waiting';
  /** By whom the handshake ends. */
  readonly kind?: 'peer_alert' | 'peer_closed';
}

const handshake = (...parts: readonly Uint8Array[]): Piece => ({
  type: ContentType.handshake,
  bytes: Buffer.concat(parts),
});
const alert = (...bytes: readonly number[]): Piece => ({
  type: ContentType.alert,
  bytes: Uint8Array.from(bytes),
});
const ignoredAlert = alert(1, 100);

function endings(verifyData: Uint8Array): readonly Ending[] {
  const finishedOf = (body: Uint8Array): Uint8Array =>
    encodeHandshakeMessage(HandshakeType.finished, body);
  const finished = finishedOf(verifyData);
  const wrong = Uint8Array.from(verifyData);
  wrong[11] = (wrong[11] ?? 0) ^ 0x80;
  const helloRequest = encodeHandshakeMessage(HandshakeType.hello_request, new Uint8Array(0));
  const ccs: Piece = { type: ContentType.change_cipher_spec, bytes: Uint8Array.of(1) };
  const data: Piece = { type: ContentType.application_data, bytes: Uint8Array.of(1) };
  return [
    { name: 'Finished', records: [handshake(finished)], alert: 'established' },
    {
      name: 'Finished in two records',
      records: [handshake(finished.subarray(0, 3)), handshake(finished.subarray(3))],
      alert: 'established',
    },
    {
      name: 'Finished behind four warnings',
      records: [...Array<Piece>(4).fill(ignoredAlert), handshake(finished)],
      alert: 'established',
    },
    { name: 'half a Finished', records: [handshake(finished.subarray(0, 9))], alert: 'waiting' },
    {
      name: 'five warnings',
      records: Array<Piece>(5).fill(ignoredAlert),
      alert: 'unexpected_message',
    },
    {
      name: 'another verify_data',
      records: [handshake(finishedOf(wrong))],
      alert: 'decrypt_error',
    },
    {
      name: 'verify_data of 11 bytes',
      records: [handshake(finishedOf(verifyData.subarray(0, 11)))],
      alert: 'decode_error',
    },
    {
      name: 'verify_data of 13 bytes',
      records: [handshake(finishedOf(Buffer.concat([verifyData, Uint8Array.of(0)])))],
      alert: 'decode_error',
    },
    {
      name: 'Finished and a byte in one record',
      records: [handshake(finished, Uint8Array.of(0))],
      alert: 'unexpected_message',
    },
    {
      name: 'Finished and HelloRequest in one record',
      records: [handshake(finished, helloRequest)],
      alert: 'unexpected_message',
    },
    {
      name: 'HelloRequest before Finished',
      records: [handshake(helloRequest), handshake(finished)],
      alert: 'unexpected_message',
    },
    {
      name: 'an empty record',
      records: [handshake(), handshake(finished)],
      alert: 'unexpected_message',
    },
    { name: 'application data', records: [data], alert: 'unexpected_message' },
    {
      name: 'application data inside Finished',
      records: [handshake(finished.subarray(0, 3)), data, handshake(finished.subarray(3))],
      alert: 'unexpected_message',
    },
    { name: 'a second ChangeCipherSpec', records: [ccs], alert: 'unexpected_message' },
    {
      name: 'a fatal alert',
      records: [alert(2, 51)],
      alert: 'decrypt_error',
      kind: 'peer_alert',
    },
    {
      name: 'close_notify',
      records: [alert(1, 0)],
      alert: 'close_notify',
      kind: 'peer_closed',
    },
    { name: 'an alert of three bytes', records: [alert(2, 51, 0)], alert: 'decode_error' },
    { name: 'an alert of an unknown level', records: [alert(3, 51)], alert: 'illegal_parameter' },
  ];
}

/** Signed or agreed on by both, so that a change is told by itself, before Finished. */
const signed: readonly number[] = [
  HandshakeType.server_key_exchange,
  HandshakeType.certificate_verify,
];

for (const scenario of scenarios.filter(({ ends }) => ends === 'established')) {
  const subject = new FlightSubject(scenario);
  const { parts } = subject;

  describe(`protected end of flight ${scenario.name} (RFC 5246 §7.4.9)`, () => {
    const { result } = subject.run(partBytes(parts));
    if (result === undefined) throw new Error(`${scenario.name} is not established`);
    const { read, peerFinished } = result;
    const keys = { key: Uint8Array.from(read.key), fixedNonce: Uint8Array.from(read.fixedNonce) };
    const start = partBytes(parts.slice(0, -1));

    /** The record the peer would have made of a piece. */
    const protect = (pieces: readonly Piece[]): Uint8Array => {
      const cipherSuite = cipherSuites.find(({ code }) => code === result.cipherSuite.code)!;
      const sealer = createRecordSealer({
        cipherSuite,
        ...keys,
        sequenceNumber: 0n,
        provider: 'node',
      });
      return Buffer.concat(
        pieces.map(({ type, bytes }) => {
          const record = Buffer.alloc(sealer.overhead + bytes.length);
          sealer.seal(type, bytes, record, 0);
          return record;
        }),
      );
    };

    for (const { name, records, alert: expected, kind = 'peer' } of endings(peerFinished)) {
      it(`is ${expected} with ${name}`, () => {
        const outcome = subject.run(start, protect(records));
        if (expected === 'established') {
          expect(outcome.result?.read.sequenceNumber).to.equal(BigInt(records.length));
        } else if (expected === 'waiting') {
          expect([outcome.result, outcome.failure]).to.deep.equal([undefined, undefined]);
        } else {
          expect(outcome.result).to.equal(undefined);
          expect(outcome.failure).to.include({ alert: expected, kind });
          expect(outcome.alerts).to.equal(kind === 'peer' ? 1 : 0);
        }
      });
    }

    it('is bad_record_mac for a Finished that is not protected', () => {
      const finished = encodeHandshakeMessage(HandshakeType.finished, peerFinished);
      const outcome = subject.run(start, recordOf(ContentType.handshake, finished));
      expect(outcome.failure?.alert).to.equal('bad_record_mac');
    });
  });

  describe(`end of the plaintext flight of ${scenario.name} (RFC 5246 §7.3)`, () => {
    const last = parts.findIndex((part) => part.kind === 'record') - 1;

    it('may come in one record', () => {
      const messages = parts.filter((part) => part.kind === 'message').map(({ raw }) => raw);
      // The ClientHello is a flight of its own, which nothing may follow in its record.
      const [first, rest] =
        scenario.role === 'server' ? [messages.slice(0, 1), messages.slice(1)] : [[], messages];
      const packed = [first, rest]
        .map((flight) => Buffer.concat(flight))
        .filter((bytes) => bytes.length > 0)
        .map((bytes): PeerPart => ({ kind: 'message', raw: bytes }));
      const outcome = subject.run(partBytes([...packed, ...parts.slice(last + 1)]));
      expect(outcomeLines(outcome)).to.deep.equal(outcomeLines(subject.run(partBytes(parts))));
    });

    for (const [what, extra] of [
      ['one byte', Uint8Array.of(0)],
      ['a whole HelloRequest', Uint8Array.of(0, 0, 0, 0)],
      ['a whole Finished', encodeHandshakeMessage(HandshakeType.finished, new Uint8Array(12))],
    ] as const) {
      const flightEnd = scenario.role === 'server' ? 0 : lastOfFlight(parts);
      // Where no flight of ours is due, a client goes on ignoring HelloRequests.
      const isIgnored = scenario.name === 'client-resumed' && extra.length === 4;
      if (isIgnored) continue;
      it(`is refused with ${what} behind it in its record`, () => {
        const raw = Buffer.concat([messageAt(parts, flightEnd), extra]);
        const glued: PeerPart = { kind: 'message', raw };
        const outcome = subject.run(partBytes(parts.with(flightEnd, glued)));
        expect(outcome.failure?.alert).to.equal('unexpected_message');
      });
    }

    for (const { body, expected } of [
      { body: [2], expected: 'illegal_parameter' },
      { body: [0], expected: 'illegal_parameter' },
      { body: [1, 1], expected: 'decode_error' },
      { body: [], expected: 'unexpected_message' },
    ]) {
      it(`is ${expected} with ChangeCipherSpec [${String(body)}] (RFC 5246 §7.1)`, () => {
        const bytes = recordOf(ContentType.change_cipher_spec, Uint8Array.from(body));
        const outcome = subject.run(partBytes(parts.with(last + 1, { kind: 'record', bytes })));
        expect(outcome.failure?.alert).to.equal(expected);
      });
    }

    it('is refused with decrypt_error when a signature is wrong', () => {
      for (const [index, part] of parts.entries()) {
        if (part.kind !== 'message' || !signed.includes(part.raw[0] ?? 0)) continue;
        const changed = Uint8Array.from(part.raw);
        changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
        const outcome = subject.run(
          partBytes(parts.with(index, { kind: 'message', raw: changed })),
        );
        expect(outcome.failure?.alert).to.equal('decrypt_error');
      }
    });
  });
}

function messageAt(parts: readonly PeerPart[], index: number): Uint8Array {
  const part = parts[index];
  if (part?.kind !== 'message') throw new Error(`part ${String(index)} is no message`);
  return part.raw;
}

/** ServerHelloDone, or in a resumed handshake what comes last before ChangeCipherSpec. */
function lastOfFlight(parts: readonly PeerPart[]): number {
  const done = parts.findIndex(
    (part) => part.kind === 'message' && part.raw[0] === HandshakeType.server_hello_done,
  );
  return done >= 0 ? done : parts.findIndex((part) => part.kind === 'record') - 1;
}
