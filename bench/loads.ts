import { once } from 'node:events';
import type { Connection, HandshakeKind, Stack } from './stacks.ts';

/** What a client end does to a server end, and what it saw. Times are in seconds. */
export interface HandshakeResult {
  readonly perSecond: number;
  readonly count: number;
  /** From the call of `connect` to `secureConnect`, the TCP connection included. */
  readonly latencies: readonly number[];
  readonly resumedShare: number;
}

/** Handshakes, `inFlight` at any moment, each followed by an orderly close. */
export async function handshakes(
  stack: Stack,
  port: number,
  kind: HandshakeKind,
  inFlight: number,
  seconds: number,
): Promise<HandshakeResult> {
  const latencies: number[] = [];
  let resumed = 0;
  const start = performance.now();
  const end = start + seconds * 1000;
  const lane = async (): Promise<void> => {
    while (performance.now() < end) {
      const before = performance.now();
      const connection = stack.connect(port, kind);
      const closed = once(connection, 'close');
      connection.resume();
      await once(connection, 'secureConnect');
      latencies.push((performance.now() - before) / 1000);
      if (connection.isSessionReused()) resumed += 1;
      connection.end();
      await closed;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const elapsed = (performance.now() - start) / 1000;
  return {
    perSecond: latencies.length / elapsed,
    count: latencies.length,
    latencies,
    resumedShare: resumed / latencies.length,
  };
}

export interface BulkResult {
  readonly bytesPerSecond: number;
  readonly bytes: number;
}

/** Sends `bytes` in writes of `writeBytes` as fast as they are taken; ends when all have arrived. */
export async function bulk(
  stack: Stack,
  port: number,
  writeBytes: number,
  bytes: number,
): Promise<BulkResult> {
  const connection = await open(stack, port);
  const total = Math.ceil(bytes / writeBytes) * writeBytes;
  const header = Buffer.alloc(8);
  header.writeBigUInt64BE(BigInt(total));
  const chunk = Buffer.alloc(writeBytes, 0x61);
  const arrived = once(connection, 'data');
  const start = performance.now();
  connection.write(header);
  for (let sent = 0; sent < total; sent += writeBytes) {
    if (!connection.write(chunk)) await once(connection, 'drain');
  }
  await arrived;
  const elapsed = (performance.now() - start) / 1000;
  await close(connection);
  return { bytesPerSecond: total / elapsed, bytes: total };
}

export interface RoundTripResult {
  readonly perSecond: number;
  readonly count: number;
  readonly latencies: readonly number[];
}

/** Sends `bytes` bytes and waits until as many came back, one exchange after the other. */
export async function roundTrips(
  stack: Stack,
  port: number,
  bytes: number,
  seconds: number,
): Promise<RoundTripResult> {
  const connection = await open(stack, port);
  const message = Buffer.alloc(bytes, 0x62);
  const latencies: number[] = [];
  const start = performance.now();
  const end = start + seconds * 1000;
  await new Promise<void>((resolve, reject) => {
    let sentAt = start;
    let missing = bytes;
    connection.on('error', reject);
    connection.on('data', (data: Buffer) => {
      missing -= data.length;
      if (missing > 0) return;
      const now = performance.now();
      latencies.push((now - sentAt) / 1000);
      if (now >= end) {
        resolve();
        return;
      }
      missing = bytes;
      sentAt = now;
      connection.write(message);
    });
    connection.write(message);
  });
  const elapsed = (performance.now() - start) / 1000;
  await close(connection);
  return { perSecond: latencies.length / elapsed, count: latencies.length, latencies };
}

/** Opens `count` connections, which stay. */
export async function hold(
  stack: Stack,
  port: number,
  count: number,
): Promise<readonly Connection[]> {
  const connections: Connection[] = [];
  while (connections.length < count) {
    const batch = Array.from({ length: Math.min(16, count - connections.length) }, () =>
      open(stack, port),
    );
    connections.push(...(await Promise.all(batch)));
  }
  return connections;
}

async function open(stack: Stack, port: number): Promise<Connection> {
  const connection = stack.connect(port, 'ecdsa');
  await once(connection, 'secureConnect');
  return connection;
}

async function close(connection: Connection): Promise<void> {
  const closed = once(connection, 'close');
  connection.resume();
  connection.end();
  await closed;
}
