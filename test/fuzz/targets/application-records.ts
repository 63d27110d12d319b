import { RecordReader, type Incoming } from '../../../src/offload/record-reader.ts';
import { cipherSuites } from '../../../src/tls/cipher-suites.ts';
import { createRecordOpener, createRecordSealer } from '../../../src/tls/record/protection.ts';
import { ContentType } from '../../../src/tls/registries.ts';
import { byteMutator } from '../mutator.ts';
import { pieces, randomOf } from '../random.ts';
import { broken, mustAgree, mustEqual, type Target } from '../target.ts';

/** Operations. */
const sealed = 0;
const changed = 1;
const plain = 2;

/**
 * What a peer with the right keys sends to an application, and what others put between. The input
 * is a list of `operation, type, length, body`: a record under the keys, one that was changed after
 * it was sealed, or plain bytes. The first byte chooses suite, role and policy.
 */
export const applicationRecords: Target = {
  name: 'application-records',
  seeds: () =>
    [
      [step(sealed, 23, 'hello'), step(sealed, 23, ''), step(sealed, 21, '\u0001\u0000')],
      [step(sealed, 22, '\u0000\u0000\u0000\u0000'), step(sealed, 22, '\u0000\u0000\u0000\u0000')],
      [step(sealed, 22, '\u0001\u0000\u0000\u0002\u0003\u0003'), step(sealed, 23, 'more')],
      [step(sealed, 21, '\u0001\u005a'), step(sealed, 21, '\u0002\u0028'), step(sealed, 23, 'x')],
      [step(sealed, 23, 'good'), step(changed, 23, 'bad'), step(sealed, 23, 'never')],
      [step(sealed, 23, 'a'), step(plain, 23, '\u0017\u0003\u0003\u0000\u0001x')],
      [step(sealed, 20, '\u0001')],
    ].map((steps, index) => Buffer.concat([Uint8Array.of(index), ...steps])),
  mutate: byteMutator([
    step(sealed, 23, 'data'),
    step(changed, 23, 'data'),
    step(sealed, 21, '\u0001\u0064'),
  ]),
  check(input) {
    const { bytes, honest } = stream(input);
    const whole = read(input, [bytes]);
    const cut = read(input, pieces(bytes, randomOf(input)));
    mustAgree('cut otherwise', cut.lines, whole.lines);
    mustEqual('cut otherwise', cut.data, whole.data);
    if (whole.data.length > honest.length) broken('data of nobody is released');
    mustEqual('released', whole.data, honest.subarray(0, whole.data.length));
    return whole.lines.join(' ');
  },
};

function step(operation: number, type: number, body: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(operation, type, body.length), Buffer.from(body, 'latin1')]);
}

/** The bytes on the wire, and the application data before anybody else's hand was in them. */
function stream(input: Uint8Array): { readonly bytes: Uint8Array; readonly honest: Uint8Array } {
  const sealer = createRecordSealer(keysFor(input));
  const wire: Uint8Array[] = [];
  const honest: Uint8Array[] = [];
  let isHonest = true;
  let rest = input.subarray(1);
  for (let count = 0; rest.length >= 3 && count < maxSteps; count++) {
    const [operation = 0, type = 0, length = 0] = rest;
    const body = rest.subarray(3, 3 + length);
    rest = rest.subarray(3 + length);
    if (operation % 3 === plain) {
      // What is not a record of its own may begin one that swallows the next.
      isHonest &&= body.length === 0;
      wire.push(body);
      continue;
    }
    const record = Buffer.alloc(body.length + sealer.overhead);
    sealer.seal(contentType(type), body, record, 0);
    if (operation % 3 === changed) {
      isHonest = false;
      const at = 5 + (type % (record.length - 5));
      record[at] = (record[at] ?? 0) ^ 0x10;
    }
    wire.push(record);
    if (isHonest && contentType(type) === ContentType.application_data) honest.push(body);
  }
  // A campaign never returns to the event loop, where a collector would do it.
  sealer.free();
  return { bytes: Buffer.concat(wire), honest: Buffer.concat(honest) };
}

function read(
  input: Uint8Array,
  chunks: readonly Uint8Array[],
): { readonly lines: readonly string[]; readonly data: Uint8Array } {
  const setting = input[0] ?? 0;
  const opener = createRecordOpener(keysFor(input));
  const reader = new RecordReader({
    opener,
    role: (setting & 1) === 0 ? 'client' : 'server',
    renegotiationIsFatal: (setting & 2) !== 0,
    maxRecords: 50,
  });
  const data: Uint8Array[] = [];
  const lines: string[] = [];
  for (const chunk of chunks) {
    const wasOver = reader.ended;
    // The reader decrypts in place.
    const { plaintexts, warning, end } = reader.receive(Uint8Array.from(chunk));
    data.push(...plaintexts.map((plaintext) => Uint8Array.from(plaintext)));
    if (warning !== undefined) lines.push(`warning ${warning}`);
    if (wasOver && (plaintexts.length > 0 || end !== undefined)) broken('it goes on after the end');
    if (end !== undefined) lines.push(describe(end));
  }
  opener.free();
  return { lines, data: Buffer.concat(data) };
}

function describe(end: NonNullable<Incoming['end']>): string {
  switch (end.type) {
    case 'close_notify':
      return 'close_notify';
    case 'alert':
      return end.alert;
    case 'failure':
      // The one limit that is ours: so many records with one key.
      if (end.error.alert === 'internal_error' && end.error.reason !== 'key_exhausted') {
        broken(end.error.message);
      }
      return `failure ${end.error.alert} ${end.error.reason}`;
  }
}

function keysFor(input: Uint8Array) {
  const cipherSuite =
    cipherSuites[((input[0] ?? 0) >> 2) % cipherSuites.length] ?? cipherSuites[0]!;
  return {
    cipherSuite,
    key: new Uint8Array(cipherSuite.keyLength).fill(1),
    fixedNonce: new Uint8Array(cipherSuite.fixedNonceLength).fill(2),
    sequenceNumber: 1n,
  };
}

function contentType(type: number): ContentType {
  const types = [
    ContentType.application_data,
    ContentType.alert,
    ContentType.handshake,
    ContentType.change_cipher_spec,
  ];
  return types.find((known) => known === type) ?? types[type % types.length] ?? 23;
}

const maxSteps = 80;
