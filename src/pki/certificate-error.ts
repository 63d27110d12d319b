/** What a refused certificate makes us tell the peer; names of TLS alerts (RFC 5246 §7.2.2, RFC 6066 §9). */
export type CertificateAlert =
  | 'bad_certificate'
  | 'unsupported_certificate'
  | 'certificate_revoked'
  | 'certificate_expired'
  | 'certificate_unknown'
  | 'unknown_ca'
  | 'bad_certificate_status_response';

/**
 * A certificate, chain, CRL, OCSP response or request that we do not accept. `reason` is stable and for programs;
 * `message` is one sentence for a person that names the rule. Neither holds a secret.
 */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
  readonly alert: CertificateAlert;
  readonly reason: string;

  constructor(alert: CertificateAlert, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.alert = alert;
    this.reason = reason;
  }
}
