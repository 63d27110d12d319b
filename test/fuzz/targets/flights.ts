import type { Handshake } from '../../../src/tls/config.ts';
import { encodeHandshakeMessage } from '../../../src/tls/messages/handshake-message.ts';
import { HandshakeType } from '../../../src/tls/registries.ts';
import { actionLines } from '../../support/flight-log.ts';
import {
  partBytes,
  recordOf,
  runEngine,
  type Outcome,
  type PeerPart,
} from '../../support/flight-replay.ts';
import { FlightSubject, outcomeLines } from '../../support/flight-subject.ts';
import { scenarios } from '../../vectors/scenarios.ts';
import { byteMutator } from '../mutator.ts';
import { pieces, randomOf } from '../random.ts';
import { broken, mustAgree, type Target } from '../target.ts';

/**
 * Recorded handshakes with one thing changed. The input says which, what and where:
 * `scenario, operation, part, place (2), argument, bytes`.
 */
export const flights: Target = {
  name: 'flights',
  seeds: () => [
    ...Array.from({ length: operations.length * 3 }, (_, index) => {
      const what = [index, index % operations.length, index * 7, 0, index * 11, 1 + index];
      return Uint8Array.of(...what, 14, 0, 0, 0);
    }),
    ...scenarios.map((_, index) => Uint8Array.of(index, joining, 0)),
  ],
  mutate: byteMutator(),
  check(input) {
    const subject = subjectOf(input[0] ?? 0);
    const bytes = mutated(subject.parts, input);
    const whole = run(subject, [bytes]);
    const cut = run(subject, pieces(bytes, randomOf(input)));
    mustAgree('cut otherwise', cut.lines, whole.lines);
    if (joinsFlights(subject.parts, input) && whole.kind.startsWith('Established')) {
      broken('established although a record spans two flights');
    }
    return whole.kind;
  },
};

type Operation = (
  parts: readonly PeerPart[],
  index: number,
  change: {
    readonly place: number;
    readonly argument: number;
    readonly bytes: Uint8Array;
  },
) => readonly PeerPart[];

const operations: readonly Operation[] = [
  (parts, index, { place, argument }) =>
    edited(parts, index, (raw) => {
      const changed = Uint8Array.from(raw);
      const at = place % changed.length;
      changed[at] = (changed[at] ?? 0) ^ argument;
      return changed;
    }),
  (parts, index, { place, bytes }) =>
    edited(parts, index, (raw) => mended(spliced(raw, 4 + (place % (raw.length - 3)), 0, bytes))),
  (parts, index, { place, bytes }) =>
    edited(parts, index, (raw) => spliced(raw, place % raw.length, 0, bytes)),
  (parts, index, { place, argument }) =>
    edited(parts, index, (raw) => mended(spliced(raw, 4 + (place % (raw.length - 3)), argument))),
  (parts, index, { place, argument }) =>
    edited(parts, index, (raw) => spliced(raw, place % raw.length, argument)),
  (parts, index) => parts.toSpliced(index, 1),
  (parts, index, { place }) => {
    const part = parts[index];
    return part === undefined ? parts : parts.toSpliced(place % parts.length, 0, part);
  },
  (parts, index, { place }) => {
    const part = parts[index];
    if (part === undefined) return parts;
    return parts.toSpliced(index, 1).toSpliced(place % parts.length, 0, part);
  },
  (parts, index, { argument, bytes }) => {
    const raw = encodeHandshakeMessage(argument as HandshakeType, bytes);
    return parts.toSpliced(index, 0, { kind: 'message', raw });
  },
  (parts, index, { argument, bytes }) =>
    parts.toSpliced(index, 0, { kind: 'record', bytes: recordOf(argument, bytes) }),
  (parts, index, { argument, bytes }) =>
    edited(parts, index, (raw) =>
      encodeHandshakeMessage((argument === 0 ? raw[0] : argument) as HandshakeType, bytes),
    ),
  /** One message in two records, perhaps with something between. */
  (parts, index, { place, argument, bytes }) => {
    const part = parts[index];
    if (part?.kind !== 'message') return parts;
    const at = place % part.raw.length;
    const between = bytes.length === 0 ? [] : [recordOf(argument, bytes)];
    return parts.with(index, {
      kind: 'record',
      bytes: Buffer.concat([
        recordOf(22, part.raw.subarray(0, at)),
        ...between,
        recordOf(22, part.raw.subarray(at)),
      ]),
    });
  },
  /** Two messages in one record. */
  (parts, index) => {
    const [one, two] = parts.slice(index, index + 2);
    if (one?.kind !== 'message' || two?.kind !== 'message') return parts;
    const joined = recordOf(22, Buffer.concat([one.raw, two.raw]));
    return parts.toSpliced(index, 2, { kind: 'record', bytes: joined });
  },
  (parts, index, { place, bytes }) => [
    ...parts.slice(0, index),
    { kind: 'record', bytes: spliced(partBytes(parts.slice(index)), place, 1, bytes) },
  ],
];

/** Index of the operation that puts two messages in one record. */
const joining = 12;

function mutated(parts: readonly PeerPart[], input: Uint8Array): Uint8Array {
  const [, operation = 0, part = 0, high = 0, low = 0, argument = 0] = input;
  const change = { place: high * 256 + low, argument, bytes: input.subarray(6) };
  const operate = operations[operation % operations.length];
  const changed = operate?.(parts, part % parts.length, change) ?? parts;
  return partBytes(changed.filter((each) => each.kind === 'record' || each.raw.length <= 16_384));
}

/** Whether the change puts the end of one flight and what answers our next in one record. */
function joinsFlights(parts: readonly PeerPart[], input: Uint8Array): boolean {
  const [, operation = 0, part = 0] = input;
  if (operation % operations.length !== joining) return false;
  const [one, two] = parts.slice(part % parts.length);
  if (one?.kind !== 'message' || two?.kind !== 'message') return false;
  const [type] = one.raw;
  return type === HandshakeType.client_hello || type === HandshakeType.server_hello_done;
}

function edited(
  parts: readonly PeerPart[],
  index: number,
  edit: (bytes: Uint8Array) => Uint8Array,
): readonly PeerPart[] {
  const part = parts[index];
  if (part === undefined) return parts;
  return parts.with(
    index,
    part.kind === 'message'
      ? { kind: 'message', raw: edit(part.raw) }
      : { kind: 'record', bytes: edit(part.bytes) },
  );
}

function spliced(
  bytes: Uint8Array,
  at: number,
  length: number,
  by: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + length)]);
}

/** The length in the header fits again. */
function mended(raw: Uint8Array): Uint8Array {
  const resized = Buffer.from(raw);
  if (resized.length >= 4) resized.writeUIntBE(resized.length - 4, 1, 3);
  return resized;
}

interface Run {
  /** All that must not depend on the cut. */
  readonly lines: readonly string[];
  readonly kind: string;
}

function run(subject: Subject, chunks: readonly Uint8Array[]): Run {
  const engine = subject.flight.engine();
  let fed = 0;
  const counted = function* (): Generator<Uint8Array> {
    for (const chunk of chunks) {
      yield chunk;
      // Asked for the next one, so this one was taken.
      fed += chunk.length;
    }
  };
  const outcome = runEngine(engine, subject.flight.connection, counted());
  checkEnding(subject, engine, outcome);
  const { result, failure, trailingBytes } = outcome;
  // How many bytes belong to the handshake is the same for every cut; how many lie behind is not.
  const consumed = result === undefined ? '' : `consumed ${String(fed - trailingBytes)}`;
  return {
    lines: [...outcomeLines({ ...outcome, trailingBytes: 0 }), consumed],
    kind: `${failure?.phase ?? engine.phase} ${failure?.alert ?? ''} ${failure?.reason ?? ''}`,
  };
}

function checkEnding(subject: Subject, engine: Handshake, outcome: Outcome): void {
  const { result, failure, alerts } = outcome;
  if (failure?.alert === 'internal_error') broken(`internal error: ${String(failure.cause)}`);
  const alertsDue = failure === undefined || failure.kind.startsWith('peer_') ? 0 : 1;
  if (alerts !== alertsDue) broken(`${String(alerts)} alerts, ${String(alertsDue)} due`);
  if (result !== undefined) {
    // Finished covers everything said: only what changes nothing said can lead to keys, the same keys.
    const lines = outcomeLines({ ...outcome, trailingBytes: 0 });
    mustAgree('keys after a change', lines, subject.established);
  }
  if (failure !== undefined) {
    const again = actionLines(engine.receive(Uint8Array.of(22, 3, 3, 0, 4, 14, 0, 0, 0)));
    mustAgree('not silent after its end', again, actionLines([{ type: 'failed', failure }]));
  }
  engine.wipe();
}

interface Subject {
  readonly flight: FlightSubject;
  readonly parts: readonly PeerPart[];
  /** How it ends when nothing is changed. */
  readonly established: readonly string[];
}

const subjects = new Map<number, Subject>();

function subjectOf(number: number): Subject {
  const usable = scenarios.filter(({ ends }) => ends === 'established');
  const index = number % usable.length;
  const known = subjects.get(index);
  if (known !== undefined) return known;
  const flight = new FlightSubject(usable[index] ?? scenarios[0]!);
  const { parts } = flight;
  const established = outcomeLines(flight.run(partBytes(parts)));
  const subject = { flight, parts, established };
  subjects.set(index, subject);
  return subject;
}
