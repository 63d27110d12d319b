import { wipe } from '../bytes/bytes.ts';
import { asError, OffloadError, OffloadErrorCode } from './errors.ts';
import { type GrpcCall, type GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';
import { decodeResponse, encodeRequest, setUpSessionPath } from './sidecar-codec.ts';
import type { SidecarRequest, SidecarResponse } from './sidecar-messages.ts';

/** The stream ended where a response was due; `answered` tells whether the handshake had begun. */
export class StreamEndedError extends Error {
  override readonly name = 'StreamEndedError';
  readonly status: GrpcStatusError;

  constructor(status: GrpcStatusError) {
    super(`sidecar ended the handshake's stream: ${status.message}`, { cause: status });
    this.status = status;
  }
}

/** One `SetUpSession` stream: one response for each request, in order, one request at a time. */
export class HandshakeStream {
  /** Handshakes this stream has carried to their end. */
  handshakes = 0;
  /** Called when the stream ends while no one waits for a response. */
  onIdleEnd: ((status: GrpcStatusError) => void) | undefined;
  /** The sidecar has answered nothing of the current handshake, if there is one. */
  #unanswered = true;
  #call: GrpcCall | undefined;
  #ended: GrpcStatusError | undefined;
  #waiting:
    | {
        readonly resolve: (response: SidecarResponse) => void;
        readonly reject: (error: Error) => void;
      }
    | undefined;

  /** Sets `onIdleEnd`, and calls it if the stream has ended already. */
  watchEnd(onIdleEnd: (status: GrpcStatusError) => void): void {
    this.onIdleEnd = onIdleEnd;
    if (this.#ended !== undefined) onIdleEnd(this.#ended);
  }

  /** Opens a stream on the channel. */
  static async open(channel: GrpcChannel): Promise<HandshakeStream> {
    const stream = new HandshakeStream();
    stream.#call = await channel.call(
      setUpSessionPath,
      {},
      {
        message: (bytes) => {
          stream.#message(bytes);
        },
        end: (status) => {
          stream.#end(status);
        },
        doubted: () => {
          stream.#doubted();
        },
      },
    );
    return stream;
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** A handshake is over, and another may follow on this stream. */
  rest(): void {
    this.handshakes += 1;
    this.#unanswered = true;
  }

  /** Rejects with `StreamEndedError`, or with what {@link fail} was given. */
  request(request: SidecarRequest): Promise<SidecarResponse> {
    const ended = this.#ended;
    if (ended !== undefined) return Promise.reject(new StreamEndedError(ended));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const message = encodeRequest(request);
      this.#call?.send(message);
      // It may hold the access token; the frame that is on its way is a copy.
      wipe(message);
    });
  }

  /** Gives the stream up; whoever waits for a response gets `error`. */
  fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.cancel();
    waiting?.reject(error);
  }

  cancel(): void {
    this.#ended ??= new GrpcStatusError(GrpcStatus.cancelled, 'cancelled');
    this.#call?.cancel();
  }

  /** Tells the sidecar that no further handshake will come. */
  finish(): void {
    this.#call?.endSending();
  }

  #message(bytes: Uint8Array): void {
    const waiting = this.#waiting;
    try {
      if (waiting === undefined) throw new Error('a response nobody asked for');
      const response = decodeResponse(bytes);
      this.#waiting = undefined;
      this.#unanswered = false;
      waiting.resolve(response);
    } catch (error) {
      const problem = asError(error);
      this.fail(
        new OffloadError(OffloadErrorCode.protocol, `sidecar's response: ${problem.message}`, {
          phase: 'handshake',
          cause: problem,
        }),
      );
    } finally {
      // Session keys were in it; what was decoded are copies.
      wipe(bytes);
    }
  }

  /** A handshake that has begun waits on: it cannot be begun anew. */
  #doubted(): void {
    if (!this.#unanswered) return;
    this.#call?.cancel();
    this.#end(new GrpcStatusError(GrpcStatus.unavailable, 'no sign of life from the sidecar'));
  }

  #end(status: GrpcStatusError): void {
    this.#ended ??= status;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.onIdleEnd?.(status);
    else waiting.reject(new StreamEndedError(status));
  }
}
