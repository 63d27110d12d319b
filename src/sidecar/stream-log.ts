import type { Logger } from 'pino';
import { isDenial, type ServiceError } from '../rpc/errors.ts';
import type { HandshakeFailure } from '../tls/config.ts';
import type { Caller } from './callers.ts';
import type { SessionOutcome } from './handshake.ts';
import type { HandshakeRequest } from './handshake-request.ts';

/** One handshake on a stream. */
export interface Attempt {
  readonly id: string;
  readonly startedAt: number;
  readonly request: HandshakeRequest;
  readonly keepStream: boolean;
  caller?: Caller;
  /** A response was sent. */
  answered: boolean;
  /** Bytes of the peer have come. */
  heardPeer: boolean;
}

/** One line about a handshake that succeeded: at `debug`, as there are many. */
export function logSuccess(
  log: Logger,
  attempt: Attempt,
  { result, peerIdentity, localIdentity }: SessionOutcome,
  seconds: number,
): void {
  if (!log.isLevelEnabled('debug')) return;
  log.debug(
    {
      ...who(attempt),
      cipherSuite: result.cipherSuite.name,
      resumed: result.resumed,
      peer: peerIdentity,
      local: localIdentity,
      durationMs: Math.round(seconds * 1000),
    },
    'handshake completed',
  );
}

/** One line about a handshake that failed. */
export function logFailure(log: Logger, attempt: Attempt, failure: HandshakeFailure): void {
  log[isSilent(attempt) ? 'debug' : 'info'](
    {
      ...who(attempt),
      reason: failure.reason,
      kind: failure.kind,
      alert: failure.alert,
      phase: failure.phase,
      detail: failure.message,
    },
    'handshake failed',
  );
}

/** One line about a handshake nobody wanted any more. */
export function logCancelled(log: Logger, attempt: Attempt, reason: string): void {
  log[isSilent(attempt) ? 'debug' : 'info']({ ...who(attempt), reason }, 'handshake cancelled');
}

/** One line about a request that was refused. */
export function logRefusal(log: Logger, attempt: Attempt | undefined, error: ServiceError): void {
  const { reason, message } = error;
  log[isDenial(error) ? 'warn' : 'info'](
    { ...(attempt === undefined ? {} : who(attempt)), reason, detail: message },
    'request refused',
  );
}

function who({ id, caller, request }: Attempt): object {
  return { handshake: id, caller: caller?.id, role: request.role };
}

/** Port scans and health checks of load balancers connect and say nothing: no news for a log. */
function isSilent({ heardPeer, request }: Attempt): boolean {
  return request.role === 'server' && !heardPeer;
}
