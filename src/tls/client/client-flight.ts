import type { HandshakeConnection } from '../handshake-connection.ts';
import { LocalFailure } from '../handshake-failure.ts';
import { sendFinished } from '../handshake-finished.ts';
import { expectMessage, expectSignature, type HandshakeInput } from '../handshake-input.ts';
import { clientWriteProtection, completeKeyExchange, deriveKeys } from '../handshake-keys.ts';
import { encodeCertificate } from '../messages/certificate.ts';
import type { CertificateRequest } from '../messages/certificate-request.ts';
import { encodeCertificateVerify } from '../messages/certificate-verify.ts';
import { encodeClientKeyExchange } from '../messages/client-key-exchange.ts';
import type { HandshakeMessage } from '../messages/handshake-message.ts';
import { parseServerHelloDone } from '../messages/server-hello-done.ts';
import { HandshakeType } from '../registries.ts';
import { expectServerFinish } from './completion.ts';
import { chooseCredential, type CredentialChoice } from './credential-choice.ts';
import type { ClientState, Keyed, Negotiated, ServerShare, StateOf } from './states.ts';

/** After a CertificateRequest only ServerHelloDone is left (RFC 5246 §7.4.5). */
export function expectServerHelloDone(
  { negotiated, share, request }: StateOf<'ExpectServerHelloDone'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const message = expectMessage(input, HandshakeType.server_hello_done);
  return takeServerHelloDone(negotiated, share, request, message, connection);
}

/** Ends the server's flight and sends ours, up to what has to be signed first. */
export function takeServerHelloDone(
  negotiated: Negotiated,
  share: ServerShare,
  request: CertificateRequest | undefined,
  message: HandshakeMessage,
  connection: HandshakeConnection,
): ClientState {
  parseServerHelloDone(message.body);
  connection.requireFlightEnd('ServerHelloDone');
  const { transcript } = negotiated.offer;
  transcript.add(message.raw);
  const choice =
    request === undefined ? undefined : sendCertificate(negotiated, request, connection);
  const keyed = sendKeyExchange(negotiated, share, choice, connection);
  if (choice === undefined) {
    transcript.dropRaw();
    return finishFlight(keyed, connection);
  }
  const { credential, scheme } = choice;
  connection.ask({ type: 'sign', credential, scheme, content: transcript.raw() });
  transcript.dropRaw();
  return { tag: 'AwaitCertificateVerifySignature', keyed, scheme };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.8 | RFC 5246 §7.4.8}. */
export function awaitCertificateVerifySignature(
  { keyed, scheme }: StateOf<'AwaitCertificateVerifySignature'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const signature = expectSignature(input);
  const body = encodeCertificateVerify({ scheme, signature });
  connection.send(keyed.negotiated.offer.transcript, HandshakeType.certificate_verify, body);
  return finishFlight(keyed, connection);
}

/** Shows the credential chosen, or an empty list (RFC 5246 §7.4.6). */
function sendCertificate(
  { offer }: Negotiated,
  request: CertificateRequest,
  connection: HandshakeConnection,
): CredentialChoice | undefined {
  const { credentials, requireCredential } = offer.config;
  const choice = chooseCredential(credentials, request);
  if (choice === undefined && requireCredential) {
    throw new LocalFailure(
      'handshake_failure',
      'no_suitable_credential',
      'server asks for a certificate and none of ours is what it accepts',
    );
  }
  const certificates = choice?.credential.certificates ?? [];
  const body = encodeCertificate({ certificates });
  connection.send(offer.transcript, HandshakeType.certificate, body);
  return choice;
}

function sendKeyExchange(
  negotiated: Negotiated,
  { group, point, authentication }: ServerShare,
  choice: CredentialChoice | undefined,
  connection: HandshakeConnection,
): Keyed {
  const { config, transcript } = negotiated.offer;
  const ours = config.generateKeyShare(group);
  const preMasterSecret = completeKeyExchange('ServerKeyExchange', ours, point);
  const body = encodeClientKeyExchange({ point: ours.publicKey });
  connection.send(transcript, HandshakeType.client_key_exchange, body);
  return {
    negotiated,
    keys: deriveKeys(negotiated, preMasterSecret, transcript, connection),
    authentication,
    group,
    credential: choice?.credential,
    createdAt: config.now(),
  };
}

function finishFlight(keyed: Keyed, connection: HandshakeConnection): ClientState {
  const { negotiated, keys } = keyed;
  const { cipherSuite } = negotiated;
  connection.protectWriting(clientWriteProtection(cipherSuite, keys));
  const localFinished = sendFinished(
    'client finished',
    cipherSuite,
    keys.masterSecret,
    negotiated.offer.transcript,
    connection,
  );
  return expectServerFinish(keyed, { first: 'client', localFinished });
}
