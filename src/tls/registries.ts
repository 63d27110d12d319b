/**
 * Wire codes by their IANA names. Codes a peer may send stay plain numbers until chosen; these
 * tables hold the ones we know.
 */

/** RFC 5246 §6.2.1. */
export const ContentType = {
  change_cipher_spec: 20,
  alert: 21,
  handshake: 22,
  application_data: 23,
} as const;
export type ContentType = (typeof ContentType)[keyof typeof ContentType];

/** RFC 5246 §7.4 and successors. */
export const HandshakeType = {
  hello_request: 0,
  client_hello: 1,
  server_hello: 2,
  new_session_ticket: 4,
  certificate: 11,
  server_key_exchange: 12,
  certificate_request: 13,
  server_hello_done: 14,
  certificate_verify: 15,
  client_key_exchange: 16,
  finished: 20,
  certificate_status: 22,
} as const;
export type HandshakeType = (typeof HandshakeType)[keyof typeof HandshakeType];

export const ProtocolVersion = { tls10: 0x0301, tls12: 0x0303, tls13: 0x0304 } as const;

/** RFC 8422 §5.1.1, RFC 8446 §4.2.7. */
export const NamedGroup = { secp256r1: 23, secp384r1: 24, x25519: 29 } as const;
export type NamedGroup = (typeof NamedGroup)[keyof typeof NamedGroup];

/** RFC 8446 §4.2.3; in TLS 1.2 the pair (hash, signature) reads as the same two bytes. */
export const SignatureScheme = {
  rsa_pkcs1_sha256: 0x0401,
  rsa_pkcs1_sha384: 0x0501,
  rsa_pkcs1_sha512: 0x0601,
  ecdsa_secp256r1_sha256: 0x0403,
  ecdsa_secp384r1_sha384: 0x0503,
  rsa_pss_rsae_sha256: 0x0804,
  rsa_pss_rsae_sha384: 0x0805,
  rsa_pss_rsae_sha512: 0x0806,
  ed25519: 0x0807,
  rsa_pss_pss_sha256: 0x0809,
  rsa_pss_pss_sha384: 0x080a,
  rsa_pss_pss_sha512: 0x080b,
} as const;
export type SignatureScheme = (typeof SignatureScheme)[keyof typeof SignatureScheme];

export const ExtensionType = {
  server_name: 0,
  status_request: 5,
  supported_groups: 10,
  ec_point_formats: 11,
  signature_algorithms: 13,
  application_layer_protocol_negotiation: 16,
  signed_certificate_timestamp: 18,
  padding: 21,
  extended_master_secret: 23,
  session_ticket: 35,
  supported_versions: 43,
  signature_algorithms_cert: 50,
  renegotiation_info: 0xff01,
} as const;
export type ExtensionType = (typeof ExtensionType)[keyof typeof ExtensionType];

/** RFC 5246 §7.4.4, RFC 8422 §5.5. */
export const ClientCertificateType = { rsa_sign: 1, ecdsa_sign: 64 } as const;

/** Name of a code in a registry, or its hexadecimal. */
export function nameOf(registry: Readonly<Record<string, number>>, code: number): string {
  for (const [name, value] of Object.entries(registry)) if (value === code) return name;
  return `0x${code.toString(16).padStart(4, '0')}`;
}
