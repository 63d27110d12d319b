import type {
  handleServerStreamingCall,
  handleUnaryCall,
  ServerWritableStream,
} from '@grpc/grpc-js';
import { once as onceEvent } from 'node:events';
import type { Logger } from 'pino';
import { ServiceError, toStatus } from '../../rpc/errors.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { Caller } from '../context.ts';
import { StoreError } from '../store/options.ts';
import { CommitUnknownError } from '../store/store.ts';

/** What every handler needs. */
export interface HandlerServices {
  /**
   * Who calls. Throws `ServiceError` unless it is the owner or an operator; called first, before
   * anything is read.
   */
  readonly identify: (call: { getPeer(): string }) => Caller;
  readonly log: Logger;
}

/** A call with one answer. */
export function unary<Request, Response>(
  services: HandlerServices,
  answer: (request: Request, caller: Caller) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const run = async (): Promise<Response> => {
      return await answer(call.request, services.identify(call));
    };
    run().then(
      (response) => {
        callback(null, response);
      },
      (error: unknown) => {
        callback(toStatus(asServiceError(error, services.log)));
      },
    );
  };
}

/** A call with many answers, sent as fast as the caller takes them. */
export function streaming<Request, Response>(
  services: HandlerServices,
  answer: (request: Request, caller: Caller) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const run = async (): Promise<void> => {
      const caller = services.identify(call);
      for await (const response of answer(call.request, caller)) {
        if (call.cancelled) return;
        if (!call.write(response)) await drained(call);
      }
      call.end();
    };
    run().catch((error: unknown) => {
      call.emit('error', toStatus(asServiceError(error, services.log)));
    });
  };
}

async function drained<Request, Response>(
  call: ServerWritableStream<Request, Response>,
): Promise<void> {
  if (call.cancelled) return;
  const gone = new AbortController();
  call.once('cancelled', () => {
    gone.abort();
  });
  await onceEvent(call, 'drain', { signal: gone.signal }).catch((error: unknown) => {
    if (!gone.signal.aborted) throw error;
  });
}

/** What a caller is told of anything that went wrong; what is ours to know goes to the log. */
function asServiceError(error: unknown, log: Logger): ServiceError {
  if (error instanceof ServiceError) return error;
  if (error instanceof CommitUnknownError) {
    return new ServiceError(
      'UNAVAILABLE',
      'outcome_unknown',
      'the store went away during the change; ask again with the same idempotency key',
    );
  }
  if (error instanceof KeyManagerError) {
    return new ServiceError('UNAVAILABLE', 'key_unusable', error.message);
  }
  if (error instanceof StoreError) {
    return new ServiceError('FAILED_PRECONDITION', 'store_refused', error.message);
  }
  log.error({ err: error }, 'administration call failed');
  return new ServiceError('INTERNAL', 'internal', 'internal error; see the log of the authority');
}
