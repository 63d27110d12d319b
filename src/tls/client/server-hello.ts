import { copyOf, equal } from '../../bytes/bytes.ts';
import { TlsAlertError } from '../alert.ts';
import type { CipherSuite } from '../cipher-suites.ts';
import type { ClientSession } from '../config.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { expectMessage, type HandshakeInput } from '../handshake-input.ts';
import { keysFromMasterSecret } from '../handshake-keys.ts';
import { parseServerHello, type ReceivedServerHello } from '../messages/server-hello.ts';
import { PeerAuthentication } from '../peer-authentication.ts';
import { ExtensionType, HandshakeType, ProtocolVersion } from '../registries.ts';
import { expectServerFinish } from './completion.ts';
import type { ClientState, Negotiated, Offer, StateOf } from './states.ts';

/**
 * Takes the server's choices, each of which must be one we offered
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.3 | RFC 5246 §7.4.1.3}).
 */
export function expectServerHello(
  { offer }: StateOf<'ExpectServerHello'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const message = expectMessage(input, HandshakeType.server_hello);
  const hello = parseServerHello(message.body);
  if (hello.legacyVersion !== ProtocolVersion.tls12) {
    throw new TlsAlertError('protocol_version', 'ServerHello: not TLS 1.2');
  }
  connection.fixVersion();
  checkExtensions(hello, offer);
  const cipherSuite = chosenSuite(hello, offer);
  if (hello.compressionMethod !== 0) {
    throw new TlsAlertError('illegal_parameter', 'ServerHello: compression');
  }
  const negotiated: Negotiated = {
    offer,
    cipherSuite,
    clientRandom: offer.random,
    serverRandom: hello.random,
    extendedMasterSecret: hello.extensions.extendedMasterSecret,
    applicationProtocol: chosenProtocol(hello, offer),
    ticketPromised: hello.extensions.sessionTicket,
    statusAcknowledged: hello.extensions.statusRequest,
  };
  offer.transcript.chooseHash(cipherSuite.hash);
  offer.transcript.add(message.raw);
  const session = resumedSession(hello, offer);
  if (session === undefined) return { tag: 'ExpectCertificate', negotiated };
  return resume(negotiated, session, connection);
}

function checkExtensions({ extensions, extensionTypes }: ReceivedServerHello, offer: Offer): void {
  for (const type of extensionTypes) {
    if (!offer.extensionTypes.includes(type) || neverAnswered.has(type)) {
      const name = String(type);
      throw new TlsAlertError(
        'unsupported_extension',
        `ServerHello: extension ${name} not offered`,
      );
    }
  }
  const { renegotiationInfo, extendedMasterSecret } = extensions;
  if (renegotiationInfo === undefined && offer.config.requireRenegotiationInfo) {
    throw new TlsAlertError(
      'handshake_failure',
      'server does not support secure renegotiation (RFC 5746)',
      'renegotiation_info_missing',
    );
  }
  if (renegotiationInfo !== undefined && renegotiationInfo.length > 0) {
    throw new TlsAlertError('handshake_failure', 'ServerHello: renegotiation_info is not empty');
  }
  if (!extendedMasterSecret && offer.config.requireExtendedMasterSecret) {
    throw new TlsAlertError(
      'handshake_failure',
      'server does not support the extended master secret (RFC 7627)',
      'extended_master_secret_missing',
    );
  }
}

function chosenSuite({ cipherSuite }: ReceivedServerHello, { config }: Offer): CipherSuite {
  const suite = config.cipherSuites.find(({ code }) => code === cipherSuite);
  if (suite === undefined) {
    throw new TlsAlertError('illegal_parameter', 'ServerHello: cipher suite not offered');
  }
  return suite;
}

function chosenProtocol(
  { extensions }: ReceivedServerHello,
  { config }: Offer,
): string | undefined {
  const { applicationProtocol } = extensions;
  if (applicationProtocol === undefined) {
    if (config.requireApplicationProtocol !== true) return undefined;
    throw new TlsAlertError('no_application_protocol', 'server chose no application protocol');
  }
  if (!config.applicationProtocols.includes(applicationProtocol)) {
    throw new TlsAlertError('illegal_parameter', 'ServerHello: application protocol not offered');
  }
  return applicationProtocol;
}

/** The session offered, if the server took it; then it has to be the very same. */
function resumedSession(hello: ReceivedServerHello, offer: Offer): ClientSession | undefined {
  const { session, sessionId } = offer;
  if (session === undefined || !equal(sessionId, hello.sessionId)) return undefined;
  if (hello.cipherSuite !== session.cipherSuite.code) {
    throw new TlsAlertError('illegal_parameter', 'ServerHello: not the suite of the session');
  }
  // Only sessions with it are kept, and it must not get lost (RFC 7627 §5.3).
  if (!hello.extensions.extendedMasterSecret) {
    throw new TlsAlertError(
      'handshake_failure',
      'ServerHello: session resumed without its extended master secret',
    );
  }
  return session;
}

function resume(
  negotiated: Negotiated,
  session: ClientSession,
  connection: HandshakeConnection,
): ClientState {
  negotiated.offer.transcript.dropRaw();
  const keyed = {
    negotiated,
    keys: keysFromMasterSecret(negotiated, copyOf(session.masterSecret), connection),
    authentication: PeerAuthentication.byResumption(session.peerCertificates),
    group: undefined,
    credential: session.credential,
    createdAt: session.createdAt,
  };
  return expectServerFinish(keyed, { first: 'server' });
}

/** Offers no server may repeat, though we made them (RFC 5246 §7.4.1.4.1, RFC 7685 §3). */
const neverAnswered: ReadonlySet<number> = new Set([
  ExtensionType.signature_algorithms,
  ExtensionType.padding,
]);
