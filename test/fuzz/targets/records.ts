import { HandshakeReassembler } from '../../../src/tls/messages/handshake-message.ts';
import {
  bodyOf,
  Deframer,
  maxExpansionBytes,
  maxPlaintextBytes,
  recordHeaderBytes,
  type FramingEpoch,
} from '../../../src/tls/record/framing.ts';
import { ContentType } from '../../../src/tls/registries.ts';
import { partBytes, peerParts } from '../../support/flight-replay.ts';
import { loadFlight, scenarios } from '../../vectors/scenarios.ts';
import { byteMutator } from '../mutator.ts';
import { pieces, randomOf } from '../random.ts';
import { broken, isPeersFault, kindOf, mustAgree, type Target, valueOrError } from '../target.ts';

/** A stream of records and of the messages in them; the first byte chooses the rules for headers. */
export const records: Target = {
  name: 'records',
  seeds: () =>
    scenarios.flatMap((scenario, index) =>
      loadFlight(scenario).connections.map((connection) =>
        Buffer.concat([Uint8Array.of(index % epochs.length), partBytes(peerParts(connection))]),
      ),
    ),
  mutate: byteMutator(['1603030004', '1503030002', '140303000101', '17030340ff'].map(fromHex)),
  check(input) {
    const epoch = epochs[(input[0] ?? 0) % epochs.length] ?? 'initial';
    const bytes = input.subarray(1);
    const whole = read(epoch, [bytes]);
    mustAgree('cut otherwise', read(epoch, pieces(bytes, randomOf(input))), whole);
    const last = whole.at(-1)?.replace(/^(record \d+|message) .*/u, '$1') ?? '';
    return `${epoch} ${String(Math.min(whole.length, 4))} ${last}`;
  },
};

const epochs: readonly FramingEpoch[] = ['initial', 'plaintext', 'protected'];

/** What comes out, one line for each thing; ends with the error, if there is one. */
function read(epoch: FramingEpoch, chunks: readonly Uint8Array[]): readonly string[] {
  const deframer = new Deframer(epoch);
  const reassembler = new HandshakeReassembler();
  const lines: string[] = [];
  for (const chunk of chunks) {
    deframer.push(chunk);
    for (;;) {
      const record = next(deframer, lines);
      if (record === 'refused') return lines;
      if (record === undefined) break;
      lines.push(`record ${String(record.type)} ${Buffer.from(record.record).toString('base64')}`);
      if (record.type !== ContentType.handshake) continue;
      reassembler.push(bodyOf(record.record));
      for (;;) {
        const message = next(reassembler, lines);
        if (message === 'refused') return lines;
        if (message === undefined) break;
        lines.push(`message ${Buffer.from(message.raw).toString('base64')}`);
      }
    }
    if (deframer.bufferedBytes >= maxRecordBytes) broken('more than one record is held');
  }
  return lines;
}

/** What comes next, or that it is refused, which then has to stay so. */
function next<T>(source: { next(): T | undefined }, lines: string[]): T | 'refused' | undefined {
  const outcome = valueOrError(() => source.next(), isPeersFault);
  if ('value' in outcome) return outcome.value;
  const again = valueOrError(() => source.next(), isPeersFault);
  if (!('error' in again) || again.error.alert !== outcome.error.alert)
    broken('an error goes away');
  lines.push(`${outcome.error.alert} ${kindOf(outcome.error)}`);
  return 'refused';
}

const maxRecordBytes = recordHeaderBytes + maxPlaintextBytes + maxExpansionBytes;

function fromHex(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex');
}
