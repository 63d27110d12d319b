/** Codes of our own; everything else an application meets is a code `node:tls` or `node:net` has. */
export const OffloadErrorCode = {
  /** The sidecar cannot be reached, went away, or ended the handshake's stream. */
  unavailable: 'ERR_OFFLOAD_UNAVAILABLE',
  /** The sidecar does not know who is calling. */
  unauthenticated: 'ERR_OFFLOAD_UNAUTHENTICATED',
  /** The sidecar knows who is calling, who may not do this. */
  denied: 'ERR_OFFLOAD_DENIED',
  /** Too many handshakes at once; see `retryAfterMs`. */
  overloaded: 'ERR_OFFLOAD_OVERLOADED',
  /** The sidecar's policy or configuration does not allow what was asked. */
  policy: 'ERR_OFFLOAD_POLICY',
  /** The handshake with the peer failed; see `alert` and `reason`. */
  handshake: 'ERR_OFFLOAD_HANDSHAKE',
  /** The sidecar answered something that makes no sense. */
  protocol: 'ERR_OFFLOAD_PROTOCOL',
  /** The connection ended without close_notify: what was received may be cut short. */
  truncated: 'ERR_OFFLOAD_TRUNCATED',
  /** The peer ended an established connection with a fatal alert. */
  peerAlert: 'ERR_OFFLOAD_PEER_ALERT',
  /** The peer's certificate was revoked while the connection was in use. */
  peerRevoked: 'ERR_OFFLOAD_PEER_REVOKED',
  /** A record of the peer broke a rule of the protocol. */
  record: 'ERR_OFFLOAD_RECORD',
  /** So many records were protected with one key that the connection has to be replaced. */
  keyExhausted: 'ERR_OFFLOAD_KEY_EXHAUSTED',
  /** Asked for something that was not agreed before the handshake. */
  notDeclared: 'ERR_OFFLOAD_NOT_DECLARED',
  /** TLS 1.2 renegotiation, which is never done. */
  renegotiation: 'ERR_OFFLOAD_RENEGOTIATION',
  /** The offload object was closed. */
  closed: 'ERR_OFFLOAD_CLOSED',
} as const;

/** Where a connection was when it failed. */
export type OffloadPhase = 'connect' | 'sidecar' | 'handshake' | 'data';

export interface OffloadErrorDetails {
  readonly phase?: OffloadPhase | undefined;
  /** Name of the alert sent to or received from the peer. */
  readonly alert?: string | undefined;
  /** Finds the handshake in the sidecar's log. */
  readonly handshakeId?: string | undefined;
  /** The sidecar's stable identifier for what went wrong, for example `unknown_issuer`. */
  readonly reason?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/**
 * What every failure that is not a plain socket error looks like. `code` is stable: one of
 * {@link OffloadErrorCode}, or the code `node:tls` uses for the same thing (`CERT_HAS_EXPIRED`,
 * `ERR_TLS_CERT_ALTNAME_INVALID`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_HANDSHAKE_TIMEOUT`,
 * `ECONNRESET`). Holds no secret.
 */
export class OffloadError extends Error {
  override readonly name = 'OffloadError';
  readonly code: string;
  readonly phase: OffloadPhase | undefined;
  readonly alert: string | undefined;
  readonly handshakeId: string | undefined;
  readonly reason: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, details: OffloadErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.phase = details.phase;
    this.alert = details.alert;
    this.handshakeId = details.handshakeId;
    this.reason = details.reason;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** What was thrown, as an error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The `code` of a system error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
