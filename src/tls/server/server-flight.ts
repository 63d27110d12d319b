import { concat } from '../../bytes/bytes.ts';
import { TLS_EMPTY_RENEGOTIATION_INFO_SCSV, type CipherSuite } from '../cipher-suites.ts';
import type { Credential, ServerConfig } from '../config.ts';
import { noServerExtensions, type ServerExtensions } from '../extensions/server-extensions.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { expectSignature, type HandshakeInput } from '../handshake-input.ts';
import { keysFromMasterSecret } from '../handshake-keys.ts';
import { encodeCertificate } from '../messages/certificate.ts';
import { encodeCertificateRequest } from '../messages/certificate-request.ts';
import { encodeServerHello } from '../messages/server-hello.ts';
import { encodeServerHelloDone } from '../messages/server-hello-done.ts';
import {
  encodeServerEcdhParams,
  encodeServerKeyExchange,
} from '../messages/server-key-exchange.ts';
import { PeerAuthentication } from '../peer-authentication.ts';
import { ClientCertificateType, HandshakeType, ProtocolVersion } from '../registries.ts';
import { Transcript } from '../transcript.ts';
import { sendServerFinish } from './completion.ts';
import { select } from './selection.ts';
import type { Greeting, Negotiated, Resumption, ServerState, StateOf } from './states.ts';

/** ServerHello to ServerKeyExchange, whose signature the driver makes (RFC 5246 §7.4.3). */
export function startFullHandshake(
  greeting: Greeting,
  connection: HandshakeConnection,
): ServerState {
  const { config, hello } = greeting;
  const { credential, cipherSuite, group, scheme } = select(config, hello);
  // A session id of ours would say that we keep sessions, one of the client's that we resumed one.
  const sessionId = new Uint8Array(0);
  const keepRaw = config.clientAuth !== 'none';
  const negotiated = sendServerHello(
    greeting,
    { credential, cipherSuite, sessionId, keepRaw, resumed: false },
    connection,
  );
  const { transcript, clientRandom, serverRandom } = negotiated;
  const { certificates } = credential;
  connection.send(transcript, HandshakeType.certificate, encodeCertificate({ certificates }));
  const share = config.generateKeyShare(group);
  const params = encodeServerEcdhParams(group, share.publicKey);
  const content = concat(clientRandom, serverRandom, params);
  connection.ask({ type: 'sign', credential, scheme, content });
  return {
    tag: 'AwaitServerKeyExchangeSignature',
    negotiated,
    exchange: { group, share, scheme },
    params,
  };
}

/** ServerKeyExchange to ServerHelloDone. */
export function awaitServerKeyExchangeSignature(
  { negotiated, exchange, params }: StateOf<'AwaitServerKeyExchangeSignature'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  const signature = expectSignature(input);
  const { config, transcript } = negotiated;
  const { scheme } = exchange;
  const body = encodeServerKeyExchange({ params, scheme, signature });
  connection.send(transcript, HandshakeType.server_key_exchange, body);
  const asks = config.clientAuth !== 'none';
  if (asks) {
    connection.send(transcript, HandshakeType.certificate_request, certificateRequest(config));
  }
  connection.send(transcript, HandshakeType.server_hello_done, encodeServerHelloDone());
  if (asks) return { tag: 'ExpectCertificate', negotiated, exchange };
  return { tag: 'ExpectClientKeyExchange', negotiated, exchange, client: undefined };
}

/** The whole flight of an abbreviated handshake (RFC 5077 §3.1). */
export function resumeSession(
  greeting: Greeting,
  { session, credential }: Resumption,
  connection: HandshakeConnection,
): ServerState {
  const { cipherSuite, masterSecret, peerCertificates, createdAt } = session;
  const negotiated = sendServerHello(
    greeting,
    {
      credential,
      cipherSuite,
      sessionId: greeting.hello.sessionId,
      keepRaw: false,
      resumed: true,
    },
    connection,
  );
  const keyed = {
    negotiated,
    keys: keysFromMasterSecret(negotiated, masterSecret, connection),
    authentication: PeerAuthentication.byResumption(peerCertificates),
    exchange: undefined,
    createdAt,
  };
  const localFinished = sendServerFinish(keyed, connection);
  return { tag: 'ExpectChangeCipherSpec', keyed, order: { first: 'server', localFinished } };
}

interface ServerHelloChoices {
  readonly credential: Credential;
  readonly cipherSuite: CipherSuite;
  readonly sessionId: Uint8Array;
  /** Whether a CertificateVerify may come. */
  readonly keepRaw: boolean;
  readonly resumed: boolean;
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3 | RFC 5246 §7.4.1.3}. */
function sendServerHello(
  greeting: Greeting,
  { credential, cipherSuite, sessionId, keepRaw, resumed }: ServerHelloChoices,
  connection: HandshakeConnection,
): Negotiated {
  const { config, hello, applicationProtocol } = greeting;
  const { serverName, extendedMasterSecret } = hello.extensions;
  const extensions = answerTo(greeting, credential, resumed);
  const serverRandom = config.random(32);
  const body = encodeServerHello({
    legacyVersion: ProtocolVersion.tls12,
    random: serverRandom,
    sessionId,
    cipherSuite: cipherSuite.code,
    compressionMethod: 0,
    extensions,
  });
  const transcript = new Transcript({ keepRaw });
  transcript.add(greeting.raw);
  transcript.chooseHash(cipherSuite.hash);
  connection.send(transcript, HandshakeType.server_hello, body);
  return {
    config,
    transcript,
    cipherSuite,
    clientRandom: hello.random,
    serverRandom,
    extendedMasterSecret,
    serverName,
    applicationProtocol,
    credential,
    ticketPromised: extensions.sessionTicket,
  };
}

/** Answers only what was asked (RFC 5246 §7.4.1.4). */
function answerTo(
  { config, hello, applicationProtocol }: Greeting,
  credential: Credential,
  resumed: boolean,
): ServerExtensions {
  const { extensions, cipherSuites } = hello;
  const { serverName, extendedMasterSecret, sessionTicket } = extensions;
  const secureRenegotiation =
    extensions.renegotiationInfo !== undefined ||
    cipherSuites.includes(TLS_EMPTY_RENEGOTIATION_INFO_SCSV);
  // RFC 6066 §3: said when the name was used, never on resumption.
  const usedName = serverName !== undefined && credential.matchesServerName(serverName);
  return {
    // status_request stays unanswered (RFC 6066 §8): there is nowhere to get an OCSP response from.
    ...noServerExtensions,
    serverName: usedName && !resumed,
    renegotiationInfo: secureRenegotiation ? new Uint8Array(0) : undefined,
    ecPointFormats: extensions.ecPointFormats === undefined ? undefined : [0],
    applicationProtocol,
    extendedMasterSecret,
    // Without extended master secret a ticket would never be taken back.
    sessionTicket:
      config.tickets !== undefined && sessionTicket !== undefined && extendedMasterSecret,
  };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.4 | RFC 5246 §7.4.4}. */
function certificateRequest({
  signatureSchemes,
  certificateAuthorities,
}: ServerConfig): Uint8Array {
  const bytes = certificateAuthorities.reduce((sum, name) => sum + 2 + name.length, 0);
  return encodeCertificateRequest({
    certificateTypes: [ClientCertificateType.ecdsa_sign, ClientCertificateType.rsa_sign],
    signatureAlgorithms: signatureSchemes,
    certificateAuthorities: bytes > maxAuthoritiesBytes ? [] : certificateAuthorities,
  });
}

/** More names than this help no client; none at all means any (RFC 5246 §7.4.4). */
const maxAuthoritiesBytes = 16 * 1024;
