import type { GrpcCall, GrpcChannel } from '../../rpc/client/grpc-channel.ts';
import { GrpcStatus, type GrpcStatusError } from '../../rpc/client/grpc-status.ts';
import type { UnaryMethod } from '../../rpc/client/unary.ts';

/**
 * One request, many answers. The sender is held up while answers wait to be taken.
 *
 * @throws GrpcStatusError when the call ends with anything but OK
 */
export async function* followMessages<Request, Response>(
  channel: GrpcChannel,
  method: UnaryMethod<Request, Response>,
  request: Request,
): AsyncGenerator<Response, void> {
  const waiting: Response[] = [];
  let ended: GrpcStatusError | undefined;
  let wake = (): void => undefined;
  channel.hold();
  let call: GrpcCall | undefined;
  try {
    call = await channel.call(
      method.path,
      {},
      {
        message: (bytes) => {
          // A view of memory that is used again.
          waiting.push(method.responseDeserialize(Buffer.from(bytes)));
          if (waiting.length >= highWater) call?.pause();
          wake();
        },
        end: (status) => {
          ended = status;
          wake();
        },
      },
    );
    call.send(method.requestSerialize(request));
    call.endSending();
    for (;;) {
      const next = waiting.shift();
      if (next !== undefined) {
        if (waiting.length === 0) call.resume();
        yield next;
      } else if (ended === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
      } else if (ended.code === GrpcStatus.ok) {
        return;
      } else {
        throw ended;
      }
    }
  } finally {
    if (ended === undefined) call?.cancel();
    channel.release();
  }
}

const highWater = 8;
