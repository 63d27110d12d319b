import type { Duplex, Readable, Writable } from 'node:stream';

/**
 * Input to peer and peer to output, until the peer has ended and its last byte is written.
 *
 * The end of the input does not end the connection at once: many servers drop their answer when a
 * close_notify arrives before it is sent (RFC 5246 §7.2.1 even asks them to). So the connection is
 * closed from here only after the peer has been silent for `closeAfterMs`, and even then its answer
 * is still taken. Without `closeAfterMs` closing is left to the peer.
 *
 * @throws what either end reports, unless the peer had ended properly before
 */
export function relay(
  socket: Duplex,
  input: Readable | Uint8Array,
  output: Writable,
  closeAfterMs: number | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let quiet: NodeJS.Timeout | undefined;
    let peerEnded = false;
    const close = (): void => {
      socket.end();
    };
    const inputEnded = (): void => {
      if (closeAfterMs !== undefined) quiet = setTimeout(close, closeAfterMs);
    };
    const settle = (error?: Error): void => {
      clearTimeout(quiet);
      if (!(input instanceof Uint8Array)) {
        input.off('data', send).off('end', inputEnded).pause();
      }
      output.off('error', settle);
      if (error !== undefined && !peerEnded) reject(error);
      else resolve();
    };
    const send = (chunk: Uint8Array): void => {
      if (socket.writable) socket.write(chunk);
      if (socket.writableNeedDrain && !(input instanceof Uint8Array)) input.pause();
    };

    socket.on('data', (chunk: Uint8Array) => {
      quiet?.refresh();
      if (!output.write(chunk)) {
        socket.pause();
        output.once('drain', () => socket.resume());
      }
    });
    socket.on('drain', () => {
      if (!(input instanceof Uint8Array)) input.resume();
    });
    socket.on('end', () => {
      peerEnded = true;
      close();
    });
    socket.on('error', settle);
    socket.on('close', () => {
      settle();
    });
    output.on('error', (error) => {
      socket.destroy();
      reject(error);
    });
    if (input instanceof Uint8Array) {
      send(input);
      inputEnded();
    } else {
      input.on('data', send).on('end', inputEnded).on('error', settle);
    }
  });
}

/**
 * All of a stream, for giving it more than once.
 *
 * @throws RangeError if it is longer than `maxInputBytes`
 */
export async function readInput(input: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    const bytes: unknown = chunk;
    if (!(bytes instanceof Buffer)) throw new TypeError('standard input has an encoding set');
    length += bytes.length;
    if (length > maxInputBytes) {
      throw new RangeError(`standard input is longer than ${String(maxInputBytes)} bytes`);
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

const maxInputBytes = 1024 * 1024;
