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
import { parseServerKeyExchange } from '../messages/server-key-exchange.ts';
import {
  acceptVerdict,
  groupOfKey,
  PeerAuthentication,
  suiteAuthentication,
} from '../peer-authentication.ts';
import { HandshakeType } from '../registries.ts';
import { takeServerHelloDone } from './client-flight.ts';
import type { ClientState, StateOf } from './states.ts';

/** Asks the driver for its verdict on the chain ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.2 | RFC 5246 §7.4.2}). */
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
  connection.ask({ type: 'verifyChain', certificates, purpose: 'server', resumed: false });
  return { tag: 'AwaitServerVerdict', negotiated, certificates };
}

/** Nothing the server says is looked at before its chain is found good. */
export function awaitServerVerdict(
  { negotiated, certificates }: StateOf<'AwaitServerVerdict'>,
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
  return { tag: 'ExpectServerKeyExchange', negotiated, server };
}

/** {@link https://www.rfc-editor.org/rfc/rfc8422#section-5.4 | RFC 8422 §5.4}. */
export function expectServerKeyExchange(
  { negotiated, server }: StateOf<'ExpectServerKeyExchange'>,
  input: HandshakeInput,
): ClientState {
  const message = expectMessage(input, HandshakeType.server_key_exchange);
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
