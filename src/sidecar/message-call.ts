import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ServiceError, toStatus } from '../rpc/errors.ts';
import { callerOf, type FindConnection, type IncomingCall } from './caller-of.ts';
import type { Caller } from './callers.ts';
import type { IdentityStore } from './identities.ts';
import { selectIdentity } from './identity-selection.ts';
import type { LocalIdentity } from './local-identity.ts';

/** What calls about messages that are signed or encrypted by an identity need of the sidecar. */
export interface MessageServices {
  readonly identities: IdentityStore;
  readonly connection: FindConnection;
  readonly now: () => Date;
  readonly log: Logger;
  readonly isDraining: () => boolean;
  readonly onDenied: (error: ServiceError) => void;
  /** Of each kind that costs something, for each caller. */
  readonly messagesPerSecond: number;
}

/** Who calls, and the identity he calls about, which he may use. */
export interface MessageCall {
  readonly caller: Caller;
  readonly identity: LocalIdentity;
  readonly now: Date;
}

/**
 * A call about one identity, answered by `answer`, whose `ServiceError` is the caller's to see. `sent` gets
 * the answer back once it is encoded: to wipe what is secret in it.
 */
export function messageCall<Request extends { readonly identity: string }, Response>(
  services: MessageServices,
  answer: (request: Request, call: MessageCall) => Response | Promise<Response>,
  sent: (response: Response) => void = () => undefined,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answered(call, services, answer).then(
      (response) => {
        callback(null, response);
        sent(response);
      },
      (error: unknown) => {
        const refusal = error instanceof ServiceError ? error : undefined;
        if (refusal === undefined) services.log.error({ err: error }, 'call about a message broke');
        else services.onDenied(refusal);
        callback(toStatus(refusal ?? broken()));
      },
    );
  };
}

async function answered<Request extends { readonly identity: string }, Response>(
  call: IncomingCall & { readonly request: Request },
  services: MessageServices,
  answer: (request: Request, call: MessageCall) => Response | Promise<Response>,
): Promise<Response> {
  const { request } = call;
  const caller = callerOf(call, services.connection);
  if (services.isDraining()) {
    throw new ServiceError('UNAVAILABLE', 'draining', 'the sidecar is shutting down');
  }
  const now = services.now();
  const identity = selectIdentity(request.identity, caller, services.identities, now);
  return await answer(request, { caller, identity, now });
}

function broken(): ServiceError {
  return new ServiceError('INTERNAL', 'internal_error', 'the sidecar made a mistake');
}
