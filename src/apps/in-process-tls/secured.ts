import { once } from 'node:events';
import { disconnected } from '../../offload/handshake-failure.ts';
import type { OffloadSocket } from '../../offload/offload-socket.ts';

/** Resolves when the handshake has succeeded; rejects with what ended the connection instead. */
export async function secured(socket: OffloadSocket): Promise<void> {
  const closed = new AbortController();
  const onClose = (): void => {
    closed.abort();
  };
  socket.once('close', onClose);
  // Stays: whoever reads or writes later gets to know of an error as well.
  socket.on('error', ignoreError);
  try {
    await once(socket, 'secure', { signal: closed.signal });
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? disconnected() : error;
  } finally {
    socket.off('close', onClose);
  }
}

function ignoreError(): void {
  // Kept from ending the process.
}
