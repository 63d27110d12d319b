import { concat } from '../../bytes/bytes.ts';
import { TlsAlertError } from '../alert.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import {
  expectMessage,
  expectMessageOf,
  expectVerdict,
  type HandshakeInput,
} from '../handshake-input.ts';
import { parseCertificate } from '../messages/certificate.ts';
import { parseCertificateRequest } from '../messages/certificate-request.ts';
import { parseCertificateStatus } from '../messages/certificate-status.ts';
import type { HandshakeMessage } from '../messages/handshake-message.ts';
import { parseServerKeyExchange } from '../messages/server-key-exchange.ts';
import {
  acceptVerdict,
  groupOfKey,
  PeerAuthentication,
  type PeerKey,
  suiteAuthentication,
} from '../peer-authentication.ts';
import { HandshakeType } from '../registries.ts';
import { takeServerHelloDone } from './client-flight.ts';
import type { ClientState, Negotiated, StateOf } from './states.ts';

/**
 * Takes the chain ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2 | RFC 5246 §7.4.2}). The
 * driver is asked for its verdict once it is known whether there is a staple to go with it.
 */
export function expectCertificate(
  { negotiated }: StateOf<'ExpectCertificate'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const message = expectMessage(input, HandshakeType.certificate);
  const { certificates } = parseCertificate(message.body);
  if (certificates.length === 0) {
    throw new TlsAlertError('decode_error', 'Certificate: server sent none');
  }
  negotiated.offer.transcript.add(message.raw);
  if (negotiated.statusAcknowledged) {
    return { tag: 'ExpectCertificateStatusOrServerKeyExchange', negotiated, certificates };
  }
  connection.ask({ type: 'verifyChain', certificates, purpose: 'server', resumed: false });
  return { tag: 'AwaitServerVerdict', negotiated, certificates, keyExchange: undefined };
}

/**
 * The staple, which a server may leave out though it acknowledged the wish for it
 * ({@link https://www.rfc-editor.org/rfc/rfc6066#section-8 | RFC 6066 §8}).
 */
export function expectCertificateStatusOrServerKeyExchange(
  { negotiated, certificates }: StateOf<'ExpectCertificateStatusOrServerKeyExchange'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const message = expectMessageOf(input, [
    HandshakeType.certificate_status,
    HandshakeType.server_key_exchange,
  ]);
  const question = {
    type: 'verifyChain',
    certificates,
    purpose: 'server',
    resumed: false,
  } as const;
  if (message.type === HandshakeType.server_key_exchange) {
    connection.ask(question);
    return { tag: 'AwaitServerVerdict', negotiated, certificates, keyExchange: message };
  }
  const { ocspResponse: stapledOcsp } = parseCertificateStatus(message.body);
  negotiated.offer.transcript.add(message.raw);
  connection.ask({ ...question, stapledOcsp });
  return { tag: 'AwaitServerVerdict', negotiated, certificates, keyExchange: undefined };
}

/** Nothing the server says is looked at before its chain is found good. */
export function awaitServerVerdict(
  { negotiated, certificates, keyExchange }: StateOf<'AwaitServerVerdict'>,
  input: HandshakeInput,
): ClientState {
  const server = acceptVerdict(certificates, expectVerdict(input));
  if (suiteAuthentication(server.keyKind) !== negotiated.cipherSuite.authentication) {
    throw new TlsAlertError('illegal_parameter', 'Certificate: key does not fit the cipher suite');
  }
  const group = groupOfKey(server.keyKind);
  if (group !== undefined && !negotiated.offer.config.namedGroups.includes(group)) {
    throw new TlsAlertError('illegal_parameter', 'Certificate: key on a curve we did not offer');
  }
  if (keyExchange !== undefined) return takeServerKeyExchange(negotiated, server, keyExchange);
  return { tag: 'ExpectServerKeyExchange', negotiated, server };
}

/** {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.4 | RFC 8422 §5.4}. */
export function expectServerKeyExchange(
  { negotiated, server }: StateOf<'ExpectServerKeyExchange'>,
  input: HandshakeInput,
): ClientState {
  const message = expectMessage(input, HandshakeType.server_key_exchange);
  return takeServerKeyExchange(negotiated, server, message);
}

/** The server may ask who we are (RFC 5246 §7.4.4). */
export function expectCertificateRequestOrServerHelloDone(
  { negotiated, share }: StateOf<'ExpectCertificateRequestOrServerHelloDone'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const message = expectMessageOf(input, [
    HandshakeType.certificate_request,
    HandshakeType.server_hello_done,
  ]);
  if (message.type === HandshakeType.server_hello_done) {
    return takeServerHelloDone(negotiated, share, undefined, message, connection);
  }
  const request = parseCertificateRequest(message.body);
  negotiated.offer.transcript.add(message.raw);
  return { tag: 'ExpectServerHelloDone', negotiated, share, request };
}

function takeServerKeyExchange(
  negotiated: Negotiated,
  server: PeerKey,
  message: HandshakeMessage,
): ClientState {
  const { params, group: code, point, scheme, signature } = parseServerKeyExchange(message.body);
  const { clientRandom, serverRandom } = negotiated;
  const { config, transcript } = negotiated.offer;
  const group = config.namedGroups.find((offered) => offered === code);
  if (group === undefined) {
    throw new TlsAlertError('illegal_parameter', 'ServerKeyExchange: group not offered');
  }
  const authentication = PeerAuthentication.bySignature(
    'ServerKeyExchange',
    server,
    { scheme, content: concat(clientRandom, serverRandom, params), signature },
    config.signatureSchemes,
  );
  transcript.add(message.raw);
  const share = { group, point, authentication };
  return { tag: 'ExpectCertificateRequestOrServerHelloDone', negotiated, share };
}
