import { TlsAlertError } from '../alert.ts';
import { TLS_FALLBACK_SCSV } from '../cipher-suites.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { expectMessage, expectVerdict, type HandshakeInput } from '../handshake-input.ts';
import { parseClientHello, type ReceivedClientHello } from '../messages/client-hello.ts';
import { HandshakeType, ProtocolVersion } from '../registries.ts';
import { findResumption } from './resumption.ts';
import { selectApplicationProtocol } from './selection.ts';
import { resumeSession, startFullHandshake } from './server-flight.ts';
import type { ServerState, StateOf } from './states.ts';

/**
 * Takes the client's offer and answers it, with a session or with a whole new flight
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.1.2 | RFC 5246 §7.4.1.2}).
 */
export function expectClientHello(
  { config }: StateOf<'ExpectClientHello'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  const message = expectMessage(input, HandshakeType.client_hello);
  const hello = parseClientHello(message.body);
  connection.requireFlightEnd('ClientHello');
  checkVersion(hello);
  connection.fixVersion();
  checkRenegotiationInfo(hello);
  if (config.requireExtendedMasterSecret && !hello.extensions.extendedMasterSecret) {
    throw new TlsAlertError(
      'handshake_failure',
      'client does not support the extended master secret (RFC 7627)',
      'extended_master_secret_missing',
    );
  }
  const applicationProtocol = selectApplicationProtocol(config, hello.extensions);
  const greeting = { config, hello, raw: message.raw, applicationProtocol };
  const resumption = findResumption(greeting, connection);
  if (resumption === undefined) return startFullHandshake(greeting, connection);
  const certificates = resumption.session.peerCertificates;
  if (certificates.length === 0) return resumeSession(greeting, resumption, connection);
  const { credential } = resumption;
  connection.ask({
    type: 'verifyChain',
    certificates,
    purpose: 'client',
    resumed: true,
    credential,
  });
  return { tag: 'AwaitResumptionVerdict', greeting, resumption };
}

/** Whom the session was made with may have lost its rights since: then it starts afresh. */
export function awaitResumptionVerdict(
  { greeting, resumption }: StateOf<'AwaitResumptionVerdict'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  if (expectVerdict(input).ok) return resumeSession(greeting, resumption, connection);
  return startFullHandshake(greeting, connection);
}

/**
 * supported_versions decides alone when present (RFC 8446 §4.2.1); otherwise any version from 1.2 on
 * stands for "1.2 and everything before it" ({@link https://www.rfc-editor.org/rfc/rfc5246#appendix-E.1 | RFC
 * 5246 appendix E.1}), of which only 1.2 is left (RFC 8996).
 */
function checkVersion({ legacyVersion, cipherSuites, extensions }: ReceivedClientHello): void {
  const { supportedVersions } = extensions;
  const offered = supportedVersions ?? [legacyVersion];
  const shared =
    supportedVersions === undefined
      ? legacyVersion >= ProtocolVersion.tls12
      : supportedVersions.includes(ProtocolVersion.tls12);
  if (shared) return;
  // RFC 7507 §3: the client fell back below what we could have agreed on.
  const below = offered.every((version) => version < ProtocolVersion.tls12);
  if (below && cipherSuites.includes(TLS_FALLBACK_SCSV)) {
    throw new TlsAlertError('inappropriate_fallback', 'ClientHello: fallback below TLS 1.2');
  }
  throw new TlsAlertError('protocol_version', 'ClientHello: no common protocol version');
}

/** {@link https://www.rfc-editor.org/rfc/rfc5746#section-3.6 | RFC 5746 §3.6}: this is no renegotiation. */
function checkRenegotiationInfo({ extensions }: ReceivedClientHello): void {
  const { renegotiationInfo } = extensions;
  if (renegotiationInfo === undefined || renegotiationInfo.length === 0) return;
  throw new TlsAlertError('handshake_failure', 'ClientHello: renegotiation_info is not empty');
}
