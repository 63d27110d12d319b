import { open } from 'node:fs/promises';
import type { z } from 'zod';
import type { listeningPort } from '../../fleet/agent-api/messages.ts';

export type ListeningPort = z.infer<typeof listeningPort>;

/** Ports that somebody on this host waits at, from the kernel's own tables (proc_net_tcp(5)); at most `max`. */
export async function listeningPorts(
  max: number,
  procNet = '/proc/net',
): Promise<readonly ListeningPort[]> {
  const found = new Map<string, ListeningPort>();
  for (const protocol of protocols) {
    for (const port of parsePorts(protocol, await readTable(`${procNet}/${protocol}`))) {
      const key = portKey(port);
      if (found.size < max || found.has(key)) found.set(key, port);
    }
  }
  return [...found.values()];
}

/** What makes two of them the same. */
export function portKey({ protocol, address, port }: ListeningPort): string {
  return `${protocol} ${address} ${String(port)}`;
}

/** The lines of a table of sockets that stand for listening ones; others, and what is no such line, are passed over. */
export function parsePorts(
  protocol: ListeningPort['protocol'],
  table: string,
): readonly ListeningPort[] {
  const waiting = protocol.startsWith('tcp') ? tcpListen : udpUnconnected;
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, remote, state, , , , uid] = line.trim().split(/\s+/u);
      if (local === undefined || remote === undefined || state !== waiting) return [];
      // A UDP socket with a peer talks, and does not wait.
      if (protocol.startsWith('udp') && !remote.endsWith(':0000')) return [];
      const [hex = '', portHex = ''] = local.split(':');
      const isAddress = protocol.endsWith('6') ? /^[0-9A-F]{32}$/u : /^[0-9A-F]{8}$/u;
      if (!isAddress.test(hex) || !/^[0-9A-F]{4}$/u.test(portHex)) return [];
      const port = Number.parseInt(portHex, 16);
      const owner = Number(uid);
      const base = { protocol, address: addressOf(hex), port };
      return [Number.isInteger(owner) && owner >= 0 ? { ...base, uid: owner } : base];
    });
}

/** The kernel prints words of 32 bits as this machine has them in memory: little-endian on all Node runs on. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  for (let at = 0; at < bytes.length; at += 4) bytes.subarray(at, at + 4).reverse();
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    bytes.readUInt16BE(index * 2).toString(16),
  );
  return shortened(groups);
}

/** The longest run of zeros as `::` (RFC 5952 §4.2). */
function shortened(groups: readonly string[]): string {
  let best = { at: 0, length: 0 };
  for (let at = 0; at < groups.length; at += 1) {
    let length = 0;
    while (groups[at + length] === '0') length += 1;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return groups.join(':');
  const before = groups.slice(0, best.at).join(':');
  return `${before}::${groups.slice(best.at + best.length).join(':')}`;
}

/** Empty if this kernel has no such table. Rejects if it cannot be read now: ports are not gone for that. */
async function readTable(path: string): Promise<string> {
  let handle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    // No IPv6, or no network at all.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
  try {
    const chunks: Buffer[] = [];
    // Files of /proc have no size, and only so much is read of one.
    for (let length = 0; length < maxTableBytes;) {
      const { bytesRead, buffer } = await handle.read(
        Buffer.alloc(chunkBytes),
        0,
        chunkBytes,
        null,
      );
      if (bytesRead === 0) break;
      chunks.push(buffer.subarray(0, bytesRead));
      length += bytesRead;
    }
    return Buffer.concat(chunks).toString('latin1');
  } finally {
    await handle.close();
  }
}

const protocols = ['tcp', 'tcp6', 'udp', 'udp6'] as const;
/** States in the tables: TCP_LISTEN, and TCP_CLOSE for a UDP socket without a peer. */
const tcpListen = '0A';
const udpUnconnected = '07';
const chunkBytes = 65_536;
/** A line has 150 bytes: some 50,000 sockets. */
const maxTableBytes = 8 * 1024 * 1024;
