import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { patience } from './patience.ts';
import { pause } from './report.ts';

/** Frame types of {@link https://www.rfc-editor.org/rfc/rfc9113#section-6 | RFC 9113 §6}. */
export const FrameType = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

/** Header fields as literals that are not indexed (RFC 7541 §6.2.2). */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(fields).flatMap(([name, value]) => [
    Buffer.of(0),
    shortText(name),
    shortText(value),
  ]);
  return Buffer.concat(parts);
}

/** The header of a call of the handshake service. */
export function callHeaders(more: Readonly<Record<string, string>> = {}): Buffer {
  return headerBlock({
    ':method': 'POST',
    ':scheme': 'http',
    ':authority': 'sidecar',
    ':path': '/s2a.proto.S2AService/SetUpSession',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  });
}

export const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  frame(FrameType.settings, 0, 0),
]);

/** A connection whose bytes are whatever one likes. */
export class RawConnection {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  isClosed = false;
  received = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes]).subarray(0, keptBytes);
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        resolve();
      });
    });
  }

  static async open(path: string): Promise<RawConnection> {
    for (;;) {
      const socket = connect({ path });
      try {
        await once(socket, 'connect');
        return new RawConnection(socket);
      } catch (error) {
        // More wait to be accepted than the kernel keeps in line.
        if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
        await pause(10);
      }
    }
  }

  /** As fast as the other side reads. */
  async send(bytes: Uint8Array): Promise<void> {
    if (this.isClosed || this.socket.write(bytes)) return;
    await Promise.race([once(this.socket, 'drain').catch(() => undefined), this.closed]);
  }

  /** The same again and again, until the other side has had enough. */
  async flood(count: number, bytes: (index: number) => Buffer): Promise<void> {
    for (let index = 0; index < count && !this.isClosed; index += batch) {
      const parts = Array.from({ length: Math.min(batch, count - index) }, (_, offset) =>
        bytes(index + offset),
      );
      await this.send(Buffer.concat(parts));
    }
  }

  /** Whether the other side ends it in time; a busy machine has {@link patience} times as much. */
  async endsWithin(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, timeoutMs * patience);
    });
    await Promise.race([this.closed, late]);
    clearTimeout(timer);
    return this.isClosed;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

function shortText(text: string): Buffer {
  if (text.length > 126) throw new RangeError('longer than one byte of length can say');
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')]);
}

const batch = 500;
const keptBytes = 65_536;
