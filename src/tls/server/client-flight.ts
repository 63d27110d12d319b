import { TlsAlertError } from '../alert.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { expectMessage, expectVerdict, type HandshakeInput } from '../handshake-input.ts';
import { completeKeyExchange, deriveKeys } from '../handshake-keys.ts';
import { parseCertificate } from '../messages/certificate.ts';
import { parseCertificateVerify } from '../messages/certificate-verify.ts';
import { parseClientKeyExchange } from '../messages/client-key-exchange.ts';
import { acceptVerdict, PeerAuthentication } from '../peer-authentication.ts';
import { HandshakeType } from '../registries.ts';
import type { KeyExchange, Keyed, Negotiated, ServerState, StateOf } from './states.ts';
import type { HandshakeKeys } from '../handshake-keys.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.6 | RFC 5246 §7.4.6}. */
export function expectCertificate(
  { negotiated, exchange }: StateOf<'ExpectCertificate'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  const message = expectMessage(input, HandshakeType.certificate);
  const { certificates } = parseCertificate(message.body);
  negotiated.transcript.add(message.raw);
  if (certificates.length > 0) {
    const { credential } = negotiated;
    connection.ask({
      type: 'verifyChain',
      certificates,
      purpose: 'client',
      resumed: false,
      credential,
    });
    return { tag: 'AwaitClientVerdict', negotiated, exchange, certificates };
  }
  if (negotiated.config.clientAuth === 'require') {
    throw new TlsAlertError(
      'handshake_failure',
      'client showed no certificate',
      'client_certificate_required',
    );
  }
  return { tag: 'ExpectClientKeyExchange', negotiated, exchange, client: undefined };
}

/** Nothing else the client says is looked at before its chain is found good. */
export function awaitClientVerdict(
  { negotiated, exchange, certificates }: StateOf<'AwaitClientVerdict'>,
  input: HandshakeInput,
): ServerState {
  const client = acceptVerdict(certificates, expectVerdict(input));
  return { tag: 'ExpectClientKeyExchange', negotiated, exchange, client };
}

/** {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.7 | RFC 8422 §5.7}. */
export function expectClientKeyExchange(
  { negotiated, exchange, client }: StateOf<'ExpectClientKeyExchange'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  const message = expectMessage(input, HandshakeType.client_key_exchange);
  const { point } = parseClientKeyExchange(message.body);
  const { transcript } = negotiated;
  const preMasterSecret = completeKeyExchange('ClientKeyExchange', exchange.share, point);
  transcript.add(message.raw);
  const keys = deriveKeys(negotiated, preMasterSecret, transcript, connection);
  if (client !== undefined) {
    return { tag: 'ExpectCertificateVerify', negotiated, exchange, keys, client };
  }
  transcript.dropRaw();
  const authentication = PeerAuthentication.anonymousClient();
  return awaitChangeCipherSpec(negotiated, exchange, keys, authentication);
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8 | RFC 5246 §7.4.8}. */
export function expectCertificateVerify(
  { negotiated, exchange, keys, client }: StateOf<'ExpectCertificateVerify'>,
  input: HandshakeInput,
): ServerState {
  const message = expectMessage(input, HandshakeType.certificate_verify);
  const { scheme, signature } = parseCertificateVerify(message.body);
  const { transcript, config } = negotiated;
  const authentication = PeerAuthentication.bySignature(
    'CertificateVerify',
    client,
    { scheme, content: transcript.raw(), signature },
    config.signatureSchemes,
  );
  transcript.dropRaw();
  transcript.add(message.raw);
  return awaitChangeCipherSpec(negotiated, exchange, keys, authentication);
}

function awaitChangeCipherSpec(
  negotiated: Negotiated,
  exchange: KeyExchange,
  keys: HandshakeKeys,
  authentication: PeerAuthentication,
): ServerState {
  const createdAt = negotiated.config.now();
  const keyed: Keyed = { negotiated, keys, authentication, exchange, createdAt };
  return { tag: 'ExpectChangeCipherSpec', keyed, order: { first: 'client' } };
}
