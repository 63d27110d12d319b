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
export async function relay(
  socket: Duplex,
  input: Readable | Uint8Array,
  output: Writable,
  closeAfterMs: number | undefined,
): Promise<void> {
  let quiet: NodeJS.Timeout | undefined;
  const resetQuiet = (): void => {
    quiet?.refresh();
  };
  const inputEnded = (): void => {
    if (closeAfterMs !== undefined) quiet = setTimeout(() => socket.end(), closeAfterMs);
  };
  let stopSending: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      stopSending = send(input, socket, inputEnded, reject);
      socket.on('data', resetQuiet);
      receive(socket, output).then(resolve, reject);
    });
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(quiet);
    stopSending?.();
  }
}

/** Peer to output; settles when the connection is gone and everything is written. */
function receive(socket: Duplex, output: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    let peerEnded = false;
    const resume = (): void => {
      socket.resume();
    };
    let outputBroken = false;
    const outputFailed = (error: Error): void => {
      outputBroken = true;
      reject(error);
    };
    const settle = (error?: Error): void => {
      // Every write still under way would fail again: the listener stays to take that.
      if (outputBroken) return;
      output.off('error', outputFailed).off('drain', resume);
      if (error !== undefined && !peerEnded) reject(error);
      else {
        output.write('', () => {
          resolve();
        });
      }
    };
    output.on('error', outputFailed).on('drain', resume);
    socket.on('data', (chunk: Uint8Array) => {
      if (!output.write(chunk)) socket.pause();
    });
    socket.on('end', () => {
      peerEnded = true;
      socket.end();
    });
    socket.on('error', settle).on('close', () => {
      settle();
    });
  });
}

/** Input to peer; the function returned lets go of the input. */
function send(
  input: Readable | Uint8Array,
  socket: Duplex,
  inputEnded: () => void,
  failed: (error: Error) => void,
): () => void {
  if (input instanceof Uint8Array) {
    socket.write(input);
    inputEnded();
    return () => undefined;
  }
  const pass = (chunk: Uint8Array): void => {
    // The peer may have ended the connection while the input goes on.
    if (socket.writable && !socket.write(chunk)) input.pause();
  };
  socket.on('drain', () => {
    input.resume();
  });
  input.on('data', pass).on('end', inputEnded).on('error', failed);
  return () => {
    input.off('data', pass).off('end', inputEnded).off('error', failed).pause();
  };
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
