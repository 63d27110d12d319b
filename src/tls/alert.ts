/**
 * Alert descriptions,
 * {@link https://www.iana.org/assignments/tls-parameters/tls-parameters.xhtml#tls-parameters-6 | IANA}.
 */
export const AlertDescription = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;

export type AlertName = keyof typeof AlertDescription;

export const AlertLevel = { warning: 1, fatal: 2 } as const;

/** Name of an alert number, or `alert_<number>` for one we do not know. */
export function alertName(description: number): string {
  return names.get(description) ?? `alert_${String(description)}`;
}

/** The two bytes of an alert (RFC 5246 §7.2). */
export function encodeAlert(level: keyof typeof AlertLevel, name: AlertName): Uint8Array {
  return Uint8Array.of(AlertLevel[level], AlertDescription[name]);
}

/**
 * The peer broke a rule. The one `catch` of the engine (and of the application's record layer)
 * sends `alert`; `message` goes to the local log and caller, never to the peer.
 */
export class TlsAlertError extends Error {
  override readonly name = 'TlsAlertError';
  readonly alert: AlertName;
  /** Stable identifier for programs, by default the alert's name. */
  readonly reason: string;

  constructor(alert: AlertName, message: string, reason: string = alert) {
    super(message);
    this.alert = alert;
    this.reason = reason;
  }
}

const names = new Map<number, string>(
  Object.entries(AlertDescription).map(([name, number]) => [number, name]),
);
