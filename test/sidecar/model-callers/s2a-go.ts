import type { Socket } from 'node:net';
import type { ByteSource } from './byte-source.ts';
import type { WireClient, WireMessage, WireStream } from './wire.ts';

export interface CallerOptions {
  readonly wire: WireClient;
  readonly socket: Socket;
  readonly source: ByteSource;
  /** Fields of the start message beside those the library always sets. */
  readonly start?: WireMessage;
  readonly token?: string;
  /** Bytes one read of the socket returns at most. */
  readonly readLimit?: number;
}

export interface CallerResult {
  readonly result: WireMessage;
  /** Bytes after the handshake, of which the record layer is to be fed first. */
  readonly leftover: Buffer;
}

/** What the library reports as the error of a failed dial or accept. */
export class CallerError extends Error {
  readonly kind: 'status' | 'stream' | 'peer' | 'protocol';

  constructor(kind: CallerError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/**
 * Behaves as the Go library's client does: strictly one request, one response; looks at the status of
 * the first response only; between responses always reads its socket again, and sends what was not
 * consumed once more in front; ends by cancelling.
 */
export async function goClient(options: CallerOptions): Promise<CallerResult> {
  return await run(options, {
    client_start: {
      application_protocols: ['grpc'],
      min_tls_version: 0,
      max_tls_version: 1,
      tls_ciphersuites: [0, 1, 2],
      ...options.start,
    },
  });
}

/** As `goClient`; reads once from the peer before the first message. */
export async function goServer(options: CallerOptions): Promise<CallerResult> {
  const first = (await options.source.read(options.readLimit)) ?? Buffer.alloc(0);
  return await run(
    options,
    {
      server_start: {
        application_protocols: ['grpc'],
        min_tls_version: 0,
        max_tls_version: 1,
        tls_ciphersuites: [0, 1, 2],
        in_bytes: first,
        ...options.start,
      },
    },
    first,
  );
}

async function run(
  options: CallerOptions,
  start: WireMessage,
  first?: Buffer,
): Promise<CallerResult> {
  const { socket, source, readLimit } = options;
  const stream = options.wire.open();
  try {
    let response = await exchange(stream, options, start);
    const code: number = response['status']?.code ?? 0;
    if (code !== 0) throw new CallerError('status', response['status'].details as string);
    let leftover = first === undefined ? Buffer.alloc(0) : unconsumed(first, response);
    for (;;) {
      const out: Buffer = response['out_frames'] ?? Buffer.alloc(0);
      if (out.length > 0) socket.write(out);
      if (response['result'] !== undefined)
        return { result: checked(response['result']), leftover };
      const read = await source.read(readLimit);
      if (read === undefined && out.length === 0) {
        throw new CallerError('peer', 'peer is not responding');
      }
      const bytes = Buffer.concat([leftover, read ?? Buffer.alloc(0)]);
      response = await exchange(stream, options, { next: { in_bytes: bytes } });
      leftover = unconsumed(bytes, response);
    }
  } catch (error) {
    stream.end();
    throw error;
  } finally {
    stream.cancel();
  }
}

async function exchange(
  stream: WireStream,
  { token }: CallerOptions,
  request: WireMessage,
): Promise<WireMessage> {
  stream.send(token === undefined ? request : { ...request, auth_mechanisms: [{ token }] });
  const response = await stream.receive();
  if (response !== undefined) return response;
  const { code, details } = await stream.status();
  throw new CallerError('stream', `${String(code)}: ${details}`);
}

function unconsumed(bytes: Buffer, response: WireMessage): Buffer {
  const consumed: number = response['bytes_consumed'] ?? 0;
  if (consumed > bytes.length) throw new CallerError('protocol', 'more consumed than sent');
  return bytes.subarray(consumed);
}

function checked(result: WireMessage): WireMessage {
  if (result['local_identity'] === undefined || result['local_identity'] === null) {
    throw new CallerError('protocol', 'result without local identity');
  }
  return result;
}
