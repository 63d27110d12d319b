import type { ClientConfig, ClientSession } from '../config.ts';
import { type ClientExtensions, clientExtensionTypes } from '../extensions/client-extensions.ts';
import { ocspStatusRequest } from '../extensions/status-request.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { type ClientHello, encodeClientHello } from '../messages/client-hello.ts';
import { HandshakeType, ProtocolVersion } from '../registries.ts';
import { Transcript } from '../transcript.ts';
import type { StateOf } from './states.ts';

/** Says what the configuration allows, in its order of preference (RFC 5246 §7.4.1.2). */
export function sendClientHello(
  config: ClientConfig,
  connection: HandshakeConnection,
): StateOf<'ExpectServerHello'> {
  const session = offeredSession(config);
  const hello: ClientHello = {
    legacyVersion: ProtocolVersion.tls12,
    random: config.random(32),
    // With a ticket, the server tells us by echoing it that the session is resumed (RFC 5077 §3.4).
    sessionId: session === undefined ? new Uint8Array(0) : config.random(32),
    cipherSuites: config.cipherSuites.map(({ code }) => code),
    compressionMethods: [0],
    extensions: extensionsFor(config, session),
  };
  const { body, extensions } = encodePadded(hello);
  const transcript = new Transcript({ keepRaw: config.credentials.length > 0 });
  connection.send(transcript, HandshakeType.client_hello, body);
  const { random, sessionId } = hello;
  const extensionTypes = clientExtensionTypes(extensions);
  return {
    tag: 'ExpectServerHello',
    offer: { config, transcript, random, sessionId, extensionTypes, session },
  };
}

/** A session of a suite no longer allowed cannot be offered: the server had to choose that suite. */
function offeredSession({ session, cipherSuites }: ClientConfig): ClientSession | undefined {
  return cipherSuites.some(({ code }) => code === session?.cipherSuite.code) ? session : undefined;
}

function extensionsFor(config: ClientConfig, session: ClientSession | undefined): ClientExtensions {
  const { applicationProtocols } = config;
  return {
    serverName: config.serverName,
    extendedMasterSecret: true,
    renegotiationInfo: new Uint8Array(0),
    supportedGroups: config.namedGroups,
    ecPointFormats: [0],
    sessionTicket: session?.ticket ?? (config.sessionTickets ? new Uint8Array(0) : undefined),
    applicationProtocols: applicationProtocols.length > 0 ? applicationProtocols : undefined,
    // With a session, too: the server may prefer a full handshake.
    statusRequest: ocspStatusRequest,
    signatureAlgorithms: config.signatureSchemes,
  };
}

/**
 * Some servers hang on a ClientHello of 256 to 511 bytes: such a one is padded to 512
 * ({@link https://www.rfc-editor.org/rfc/rfc7685#section-4 | RFC 7685 §4}).
 */
function encodePadded(hello: ClientHello): {
  readonly body: Uint8Array;
  readonly extensions: ClientExtensions;
} {
  const body = encodeClientHello(hello);
  const length = handshakeHeaderBytes + body.length;
  if (length < 256 || length >= paddedLength) return { body, extensions: hello.extensions };
  const padding = Math.max(paddedLength - length - extensionHeaderBytes, 1);
  const extensions = { ...hello.extensions, padding };
  return { body: encodeClientHello({ ...hello, extensions }), extensions };
}

const handshakeHeaderBytes = 4;
const extensionHeaderBytes = 4;
const paddedLength = 512;
