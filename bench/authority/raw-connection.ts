import { connect, type TLSSocket } from 'node:tls';

/** What opens a connection to an authority. */
export interface RawTarget {
  /** `HOST:PORT` */
  readonly address: string;
  /** Address of this machine to connect from, which is what the other end counts by. */
  readonly from: string;
  /** PEM. */
  readonly key: string;
  readonly chain: string;
}

/**
 * HTTP/2 with nothing but what it takes to send one call again and again: the same bytes each time, but
 * for the number of the stream. A client library costs more for each call than a server that refuses it.
 * Peers are not verified, as there is nothing to lose.
 */
export class RawConnection {
  /** Calls that are not answered. */
  outstanding = 0;
  answered = 0;
  readonly #socket: TLSSocket;
  #nextStream = 1;
  /** Bytes of bodies that may still be sent (RFC 9113 §5.2). */
  #window = INITIAL_WINDOW;
  #received: Buffer = Buffer.alloc(0);
  #state: 'opening' | 'open' | 'closed' = 'opening';

  constructor({ address, from, key, chain }: RawTarget, onEnd: () => void) {
    const at = address.lastIndexOf(':');
    this.#socket = connect({
      ...{ host: address.slice(0, at), port: Number(address.slice(at + 1)), localAddress: from },
      ...{ key, cert: chain, rejectUnauthorized: false, ALPNProtocols: ['h2'] },
    });
    this.#socket.setNoDelay(true);
    this.#socket.once('secureConnect', () => {
      this.#state = 'open';
      this.#socket.write(preface);
    });
    this.#socket.on('data', (bytes: Buffer) => {
      this.#receive(bytes);
    });
    // A 'close' follows.
    this.#socket.on('error', () => undefined);
    this.#socket.once('close', () => {
      this.#state = 'closed';
      onEnd();
    });
  }

  get opening(): boolean {
    return this.#state === 'opening';
  }

  /** Whether one more call can be sent now. */
  hasRoom({ bodyBytes }: RawCall): boolean {
    return this.#state === 'open' && this.outstanding < MAX_STREAMS && this.#window >= bodyBytes;
  }

  send(call: RawCall): void {
    this.#socket.write(call.frames(this.#nextStream));
    this.#nextStream += 2;
    this.#window -= call.bodyBytes;
    this.outstanding += 1;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    let rest = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    while (rest.length >= FRAME_HEADER) {
      const end = FRAME_HEADER + rest.readUIntBE(0, 3);
      if (rest.length < end) break;
      this.#frame(
        rest[3] ?? 0,
        rest[4] ?? 0,
        rest.readUInt32BE(5),
        rest.subarray(FRAME_HEADER, end),
      );
      rest = rest.subarray(end);
    }
    this.#received = rest;
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer): void {
    const isAck = (flags & 1) !== 0;
    if (type === Frame.settings && !isAck) this.#socket.write(frame(Frame.settings, 1, 0));
    else if (type === Frame.ping && !isAck) this.#socket.write(frame(Frame.ping, 1, 0, payload));
    else if (type === Frame.windowUpdate && stream === 0) this.#window += payload.readUInt32BE(0);
    else if (type === Frame.goAway) this.#socket.end();
    else if (type === Frame.reset || ((type === Frame.headers || type === Frame.data) && isAck)) {
      // The same bit says that the stream ends.
      this.outstanding -= 1;
      this.answered += 1;
    }
  }
}

/** A unary call, encoded. */
export class RawCall {
  readonly bodyBytes: number;
  readonly #frames: Buffer;
  readonly #bodyAt: number;

  constructor(path: string, message: Uint8Array) {
    // RFC 7541: indexes of the static table, literals without indexing, so that nothing depends on what was sent before.
    const headers = Buffer.concat([
      Buffer.of(0x83, 0x87),
      literal(Buffer.of(0x04), path),
      literal(Buffer.of(0x01), 'authority'),
      literal(Buffer.of(0x0f, 0x10), 'application/grpc'),
      literal(Buffer.concat([Buffer.of(0x00, 2), Buffer.from('te')]), 'trailers'),
    ]);
    const body = Buffer.concat([Buffer.alloc(5), message]);
    body.writeUInt32BE(message.length, 1);
    this.bodyBytes = body.length;
    this.#bodyAt = FRAME_HEADER + headers.length;
    this.#frames = Buffer.concat([
      frame(Frame.headers, 4, 0, headers),
      frame(Frame.data, 1, 0, body),
    ]);
  }

  /** In memory of their own. */
  frames(stream: number): Buffer {
    const frames = Buffer.from(this.#frames);
    frames.writeUInt32BE(stream, 5);
    frames.writeUInt32BE(stream, this.#bodyAt + 5);
    return frames;
  }
}

function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function literal(name: Buffer, value: string): Buffer {
  return Buffer.concat([name, Buffer.of(value.length), Buffer.from(value, 'latin1')]);
}

const Frame = {
  ...{ data: 0, headers: 1, reset: 3, settings: 4 },
  ...{ ping: 6, goAway: 7, windowUpdate: 8 },
} as const;
const FRAME_HEADER = 9;
/** What an authority allows at once on a connection. */
const MAX_STREAMS = 64;
const INITIAL_WINDOW = 65_535;
const preface = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1'),
  frame(Frame.settings, 0, 0),
]);
