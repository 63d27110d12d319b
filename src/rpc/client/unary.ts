import type { GrpcCall, GrpcCallEvents, GrpcChannel } from './grpc-channel.ts';
import { GrpcStatus, GrpcStatusError } from './grpc-status.ts';

/** One RPC of a service, as generated code describes it. */
export interface UnaryMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Uint8Array;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface UnaryOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** For everything, the connection included; the server is told. Absent: as long as it takes. */
  readonly timeoutMs?: number;
  /** Gives the call up. */
  readonly signal?: AbortSignal;
}

/**
 * One request, one answer. Rejects with the connection's error if the server cannot be reached, with
 * {@link GrpcStatusError} for everything the server says but OK, for an answer that cannot be decoded
 * (`internal`), and when time is up (`deadlineExceeded`); with the signal's reason when aborted.
 */
export async function unary<Request, Response>(
  channel: GrpcChannel,
  method: UnaryMethod<Request, Response>,
  request: Request,
  options: UnaryOptions = {},
): Promise<Response> {
  channel.hold();
  try {
    const answer = await exchange(channel, method.path, method.requestSerialize(request), options);
    return decode(method, answer);
  } finally {
    channel.release();
  }
}

function exchange(
  channel: GrpcChannel,
  path: string,
  request: Uint8Array,
  { metadata = {}, timeoutMs, signal }: UnaryOptions,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let call: GrpcCall | undefined;
    let answer: Uint8Array | undefined;
    let over = false;
    const finish = (settle: () => void) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      settle();
    };
    const giveUp = (error: Error) => {
      finish(() => {
        call?.cancel();
        reject(error);
      });
    };
    const abort = () => {
      giveUp(abortReason(signal));
    };
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            const message = `no answer within ${String(timeoutMs)} ms`;
            giveUp(new GrpcStatusError(GrpcStatus.deadlineExceeded, message));
          }, timeoutMs);
    const events: GrpcCallEvents = {
      message: (bytes) => {
        // A view of memory that is used again.
        answer ??= Uint8Array.from(bytes);
      },
      end: (ended) => {
        finish(() => {
          if (ended.code !== GrpcStatus.ok) reject(ended);
          else if (answer === undefined) reject(withoutAnswer());
          else resolve(answer);
        });
      },
    };
    if (signal?.aborted === true) {
      abort();
      return;
    }
    signal?.addEventListener('abort', abort, { once: true });
    const deadline = timeoutMs === undefined ? {} : { 'grpc-timeout': `${String(timeoutMs)}m` };
    channel.call(path, { ...metadata, ...deadline }, events).then(
      (started) => {
        call = started;
        if (over) {
          started.cancel();
          return;
        }
        started.send(request);
        started.endSending();
      },
      (error: unknown) => {
        giveUp(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}

function decode<Response>(method: UnaryMethod<never, Response>, answer: Uint8Array): Response {
  try {
    const { buffer, byteOffset, byteLength } = answer;
    return method.responseDeserialize(Buffer.from(buffer, byteOffset, byteLength));
  } catch (cause) {
    throw new GrpcStatusError(GrpcStatus.internal, 'the answer cannot be decoded', { cause });
  }
}

function withoutAnswer(): GrpcStatusError {
  return new GrpcStatusError(GrpcStatus.internal, 'call ended without an answer');
}

function abortReason(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error('the call was given up');
}
