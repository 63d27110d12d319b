import type { OffloadSocket } from '../../../offload/index.ts';

/** Resolves when the handshake has ended, rejects if it failed. */
export async function secured(socket: OffloadSocket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // Stays: a peer that breaks the connection later must not end the process.
    socket.on('error', reject);
    socket.once('close', () => {
      reject(new Error('the connection ended during the handshake'));
    });
    socket.once('secure', resolve);
  });
}
