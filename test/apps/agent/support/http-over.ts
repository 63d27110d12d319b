import type { OffloadSocket } from '../../../../src/offload/index.ts';

/** What came of a connection on which HTTP was spoken as soon as it could be. */
export interface Spoken {
  /** Whether the handshake ended well, as this side sees it. */
  readonly secured: boolean;
  /** Bytes of HTTP that came back. */
  readonly bytes: number;
}

/** Says something on a connection, and waits until the other side has ended it. */
export async function speak(socket: OffloadSocket, text: string): Promise<Spoken> {
  let secured = false;
  let bytes = 0;
  socket.on('error', () => undefined);
  socket.once('secure', () => {
    secured = true;
  });
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.write(text);
  await new Promise((resolve) => socket.once('close', resolve));
  return { secured, bytes };
}
