import { type AlertName, TlsAlertError } from './alert.ts';
import type { HandshakeFailure } from './config.ts';

/** We end the handshake though the peer broke no rule: our policy, our deadline, our key. */
export class LocalFailure extends Error {
  override readonly name = 'LocalFailure';
  readonly alert: AlertName;
  readonly reason: string;

  constructor(alert: AlertName, reason: string, message: string) {
    super(message);
    this.alert = alert;
    this.reason = reason;
  }
}

/** The peer ended the handshake by an alert; none of ours answers it. */
export class PeerEndedError extends Error {
  override readonly name = 'PeerEndedError';
  readonly kind: 'peer_alert' | 'peer_closed';
  /** Name of the alert, or its number. */
  readonly alert: string;

  constructor(kind: 'peer_alert' | 'peer_closed', alert: string) {
    super(
      kind === 'peer_alert'
        ? `peer sent the fatal alert ${alert}`
        : `peer closed the connection (${alert}) before the handshake was done`,
    );
    this.kind = kind;
    this.alert = alert;
  }
}

/** How a handshake ends without result. */
export interface Ending {
  readonly failure: HandshakeFailure;
  /** What to tell the peer; absent when it need not or cannot be told. */
  readonly alert?: AlertName;
}

/** The one place where an error becomes an alert and a report (RFC 5246 §7.2.2). */
export function endingOf(error: unknown, phase: string): Ending {
  if (error instanceof PeerEndedError) {
    const { kind, alert, message } = error;
    return { failure: { kind, alert, reason: alert, message, phase } };
  }
  if (error instanceof TlsAlertError || error instanceof LocalFailure) {
    const { alert, reason, message } = error;
    const kind = error instanceof LocalFailure ? 'local' : 'peer';
    return { failure: { kind, alert, reason, message, phase }, alert };
  }
  const alert = 'internal_error';
  // The text of a foreign error may say anything, so it stays in `cause`.
  const message = `internal error (${error instanceof Error ? error.name : typeof error})`;
  return { failure: { kind: 'local', alert, reason: alert, message, phase, cause: error }, alert };
}
