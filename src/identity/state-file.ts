import { equal } from '../bytes/bytes.ts';
import { Reader } from '../bytes/reader.ts';
import { Writer } from '../bytes/writer.ts';
import { hash } from '../crypto/hash.ts';

/** What a file of an identity's directory holds. */
export type StateFileKind =
  'current' | 'pending' | 'trust' | 'guidance' | 'forgotten' | 'bootstrap';

/** A file that is not what it should be; the message says how, without the file's name. */
export class StateFileError extends Error {
  override readonly name = 'StateFileError';
}

/*
 * struct {
 *   opaque magic[4];        // "SKHS"
 *   uint8 version;          // 1
 *   uint8 kind;
 *   uint32 length;
 *   opaque body[length];
 *   opaque checksum[32];    // SHA-256 of all before it
 * } StateFile;
 */

/** A body in its frame. `body` may hold secrets: the frame is a copy, for the caller to wipe. */
export function encodeStateFile(kind: StateFileKind, body: Uint8Array): Uint8Array {
  const head = new Writer()
    .bytes(magic)
    .u8(formatVersion)
    .u8(kindNumbers[kind])
    .u32(body.length)
    .finish();
  return new Writer()
    .bytes(head)
    .bytes(body)
    .bytes(hash('sha256', head, body))
    .finishAndWipe();
}

/** The body as a view of `file`. Throws {@link StateFileError} for anything but a whole file. */
export function decodeStateFile(kind: StateFileKind, file: Uint8Array): Uint8Array {
  if (file.length === 0) throw new StateFileError('is empty');
  if (!equal(file.subarray(0, magic.length), magic.subarray(0, file.length))) {
    throw new StateFileError('is not a file of ours');
  }
  if (file.length < headBytes) throw cutShort(file.length, headBytes + checksumBytes);
  const reader = new Reader(file);
  reader.take(magic.length);
  const version = reader.u8();
  if (version !== formatVersion) {
    throw new StateFileError(`is of format ${String(version)}, which this version does not know`);
  }
  const found = reader.u8();
  const length = reader.u32();
  const whole = headBytes + length + checksumBytes;
  if (file.length < whole) throw cutShort(file.length, whole);
  if (file.length > whole) {
    throw new StateFileError(`has ${String(file.length - whole)} bytes too many`);
  }
  const body = reader.take(length);
  if (!equal(reader.rest(), hash('sha256', file.subarray(0, headBytes + length)))) {
    throw new StateFileError('is damaged: its checksum does not fit');
  }
  if (found !== kindNumbers[kind]) throw new StateFileError('is a file of ours, but another one');
  return body;
}

function cutShort(length: number, whole: number): StateFileError {
  return new StateFileError(`is cut short: ${String(length)} of ${String(whole)} bytes`);
}

const magic = Buffer.from('SKHS', 'latin1');
const formatVersion = 1;
const headBytes = magic.length + 6;
const checksumBytes = 32;

const kindNumbers: Readonly<Record<StateFileKind, number>> = {
  current: 1,
  pending: 2,
  trust: 3,
  guidance: 4,
  forgotten: 5,
  bootstrap: 6,
};
