import { OffloadSocket } from '../../src/offload/index.ts';

/** What one end of a connection wrote, before it was encrypted. */
export interface Written {
  readonly socket: OffloadSocket;
  readonly bytes: () => Buffer;
}

/** Everything all sockets of this process write, from now until it is stopped. */
export class PlaintextCapture {
  readonly #chunks = new Map<OffloadSocket, Buffer[]>();
  readonly #stop: () => void;

  constructor() {
    const { prototype } = OffloadSocket;
    const descriptor = Object.getOwnPropertyDescriptor(prototype, 'write')!;
    const write = descriptor.value as (...args: unknown[]) => boolean;
    const chunks = this.#chunks;
    prototype.write = function (this: OffloadSocket, ...args: unknown[]) {
      const kept = chunks.get(this) ?? [];
      chunks.set(this, kept);
      if (typeof args[0] === 'string') kept.push(Buffer.from(args[0], 'latin1'));
      else kept.push(Buffer.from(args[0] as Uint8Array));
      return write.apply(this, args);
    };
    this.#stop = () => {
      Object.defineProperty(prototype, 'write', descriptor);
    };
  }

  /** One entry for each socket that wrote. */
  get all(): readonly Written[] {
    return [...this.#chunks].map(([socket, kept]) => ({
      socket,
      bytes: () => Buffer.concat(kept),
    }));
  }

  stop(): void {
    this.#stop();
  }
}

export interface Http2Frame {
  readonly type: number;
  readonly streamId: number;
}

export const http2Preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** The whole frames of one direction, without the client's preface (RFC 9113 §4.1). */
export function http2Frames(bytes: Buffer): readonly Http2Frame[] {
  const frames: Http2Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    frames.push({ type: bytes[at + 3]!, streamId: bytes.readUInt32BE(at + 5) & 0x7fffffff });
    at += 9 + bytes.readUIntBE(at, 3);
  }
  return frames;
}
