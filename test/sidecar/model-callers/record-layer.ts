import { createCipheriv, createDecipheriv } from 'node:crypto';
import type { Socket } from 'node:net';
import type { ByteSource } from './byte-source.ts';
import type { WireMessage } from './wire.ts';

/**
 * TLS 1.2 record protection for the three suites, written from RFC 5288 and RFC 7905 alone: shows that
 * what a result says is what the peer uses.
 */
export class ModelRecordLayer {
  readonly #socket: Socket;
  readonly #source: ByteSource;
  readonly #suite: number;
  readonly #in: Direction;
  readonly #out: Direction;
  #buffered: Buffer;

  constructor(socket: Socket, source: ByteSource, result: WireMessage, leftover: Buffer) {
    const { state } = result;
    this.#socket = socket;
    this.#source = source;
    this.#suite = state.tls_ciphersuite ?? 0;
    this.#in = {
      key: state.in_key,
      nonce: state.in_fixed_nonce,
      sequence: BigInt(state.in_sequence ?? 0),
    };
    this.#out = {
      key: state.out_key,
      nonce: state.out_fixed_nonce,
      sequence: BigInt(state.out_sequence ?? 0),
    };
    this.#buffered = Buffer.from(leftover);
  }

  write(plaintext: Buffer): void {
    const direction = this.#out;
    const explicit = this.#suite === 2 ? Buffer.alloc(0) : sequenceBytes(direction.sequence);
    const cipher = createCipheriv(
      this.#algorithm() as any,
      direction.key,
      this.#nonce(direction, explicit),
      {
        authTagLength: 16,
      },
    ) as any;
    cipher.setAAD(additionalData(direction.sequence, plaintext.length), {
      plaintextLength: plaintext.length,
    });
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    const body = Buffer.concat([explicit, sealed, cipher.getAuthTag()]);
    const header = Buffer.from([23, 3, 3, body.length >> 8, body.length & 0xff]);
    direction.sequence += 1n;
    this.#socket.write(Buffer.concat([header, body]));
  }

  /** The content of the next application data record. */
  async read(): Promise<Buffer> {
    for (;;) {
      const length = this.#buffered.length >= 5 ? this.#buffered.readUInt16BE(3) : undefined;
      if (length !== undefined && this.#buffered.length >= 5 + length) {
        const record = this.#buffered.subarray(0, 5 + length);
        this.#buffered = this.#buffered.subarray(5 + length);
        return this.#open(record);
      }
      const more = await this.#source.read();
      if (more === undefined) throw new Error('peer ended');
      this.#buffered = Buffer.concat([this.#buffered, more]);
    }
  }

  #open(record: Buffer): Buffer {
    if (record[0] !== 23) throw new Error(`record of type ${String(record[0])}`);
    const direction = this.#in;
    const explicit = record.subarray(5, this.#suite === 2 ? 5 : 13);
    const sealed = record.subarray(5 + explicit.length, -16);
    const decipher = createDecipheriv(
      this.#algorithm() as any,
      direction.key,
      this.#nonce(direction, explicit),
      {
        authTagLength: 16,
      },
    ) as any;
    decipher.setAAD(additionalData(direction.sequence, sealed.length), {
      plaintextLength: sealed.length,
    });
    decipher.setAuthTag(record.subarray(-16));
    direction.sequence += 1n;
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  }

  #algorithm(): string {
    return ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'][this.#suite] ?? 'unknown';
  }

  #nonce({ nonce, sequence }: Direction, explicit: Buffer): Buffer {
    if (this.#suite !== 2) return Buffer.concat([nonce, explicit]);
    const padded = Buffer.concat([Buffer.alloc(4), sequenceBytes(sequence)]);
    return Buffer.from(nonce.map((byte, index) => byte ^ (padded[index] ?? 0)));
  }
}

interface Direction {
  readonly key: Buffer;
  readonly nonce: Buffer;
  sequence: bigint;
}

function additionalData(sequence: bigint, length: number): Buffer {
  return Buffer.concat([
    sequenceBytes(sequence),
    Buffer.from([23, 3, 3, length >> 8, length & 0xff]),
  ]);
}

function sequenceBytes(sequence: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(sequence);
  return bytes;
}
