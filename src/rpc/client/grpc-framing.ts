import { concat, wipe } from '../../bytes/bytes.ts';

/**
 * gRPC's length-prefixed messages over HTTP/2 DATA frames: one byte of flags, four of length, the
 * message.
 */

/** One message in its frame. */
export function frameMessage(message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(prefixBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, prefixBytes);
  return frame;
}

/** Cuts received bytes into messages. */
export class MessageReader {
  readonly #maxMessageBytes: number;
  #pending: Uint8Array = noBytes;

  constructor(maxMessageBytes = defaultMaxMessageBytes) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  /**
   * Messages completed by `bytes`, as views: whoever uses them may overwrite them. What was copied
   * to join pieces is overwritten here, as keys may be in it. Throws for a
   * compressed message, which we never announced, and for one that is too long.
   */
  push(bytes: Uint8Array): readonly Uint8Array[] {
    const messages: Uint8Array[] = [];
    let rest = bytes;
    if (this.#pending.length > 0) {
      rest = concat(this.#pending, bytes);
      wipe(this.#pending, bytes);
    }
    for (;;) {
      const size = frameSize(rest, this.#maxMessageBytes);
      if (size === undefined || rest.length < size) break;
      messages.push(rest.subarray(prefixBytes, size));
      rest = rest.subarray(size);
    }
    this.#pending = rest.length === 0 ? noBytes : concat(rest);
    wipe(rest);
    return messages;
  }
}

function frameSize(bytes: Uint8Array, maxMessageBytes: number): number | undefined {
  if (bytes.length < prefixBytes) return undefined;
  if (bytes[0] !== 0) throw new Error('message is compressed');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (length > maxMessageBytes) throw new Error(`message of ${String(length)} bytes`);
  return prefixBytes + length;
}

const prefixBytes = 5;
/** A handshake's result with two long chains is below 64 KiB. */
const defaultMaxMessageBytes = 1_048_576;
const noBytes = new Uint8Array();
