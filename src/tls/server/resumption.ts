import { equal, wipe } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { TlsAlertError } from '../alert.ts';
import type { Credential, ServerConfig } from '../config.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { decodeServerSession, encodeServerSession, type ServerSession } from '../session-state.ts';
import { credentialsForName } from './selection.ts';
import type { Greeting, Keyed, Resumption } from './states.ts';

/**
 * The session in the client's ticket, if there is one and everything it depends on is as it was
 * ({@link https://www.rfc-editor.org/rfc/rfc5077#section-3.1 | RFC 5077 §3.1}); otherwise the handshake
 * is a full one, without a word about why. Throws `handshake_failure` where RFC 7627 §5.3 says so.
 */
export function findResumption(
  { config, hello }: Greeting,
  connection: HandshakeConnection,
): Resumption | undefined {
  const { sessionTicket, extendedMasterSecret } = hello.extensions;
  if (sessionTicket === undefined || sessionTicket.length === 0) return undefined;
  const session = openTicket(config, sessionTicket);
  if (session === undefined) return undefined;
  connection.keep(session.masterSecret);
  // RFC 7627 §5.3, all four cases: sessions without extended master secret are not resumed at all.
  if (!session.extendedMasterSecret) return undefined;
  if (!extendedMasterSecret) {
    throw new TlsAlertError(
      'handshake_failure',
      'ClientHello: session resumed without its extended master secret',
    );
  }
  const credential = credentialOf(session, config, hello.extensions.serverName);
  if (credential === undefined || !isFresh(session, config)) return undefined;
  if (!isStillAllowed(session, config, hello.cipherSuites)) return undefined;
  // RFC 6066 §3: not under another name.
  if (session.serverName !== hello.extensions.serverName) return undefined;
  return { session, credential };
}

/**
 * The ticket for what was agreed on, or empty bytes when it would be too long to come back
 * ({@link https://www.rfc-editor.org/rfc/rfc5077#section-3.3 | RFC 5077 §3.3} lets a server change its
 * mind).
 */
export function makeTicket(
  keyed: Keyed,
  tickets: NonNullable<ServerConfig['tickets']>,
): Uint8Array {
  const { negotiated, keys, authentication, createdAt } = keyed;
  const { config } = negotiated;
  const plaintext = encodeServerSession({
    cipherSuite: negotiated.cipherSuite,
    extendedMasterSecret: negotiated.extendedMasterSecret,
    masterSecret: keys.masterSecret,
    createdAt,
    serverName: negotiated.serverName,
    credentialFingerprint: fingerprint(negotiated.credential),
    clientAuth: config.clientAuth,
    sessionContext: config.sessionContext,
    peerCertificates: authentication.certificates,
  });
  const ticket = plaintext.length > maxSessionBytes ? new Uint8Array(0) : tickets.seal(plaintext);
  wipe(plaintext);
  return ticket;
}

function openTicket({ tickets }: ServerConfig, ticket: Uint8Array): ServerSession | undefined {
  const plaintext = tickets?.open(ticket);
  if (plaintext === undefined) return undefined;
  const session = decodeServerSession(plaintext);
  wipe(plaintext);
  return session;
}

/** What we showed then, if we would show it today to who asks for this name. */
function credentialOf(
  session: ServerSession,
  config: ServerConfig,
  serverName: string | undefined,
): Credential | undefined {
  return credentialsForName(config, serverName).find((credential) =>
    equal(fingerprint(credential), session.credentialFingerprint),
  );
}

function isFresh({ createdAt }: ServerSession, { tickets, now }: ServerConfig): boolean {
  const ageMs = now().getTime() - createdAt.getTime();
  return ageMs >= 0 && ageMs <= (tickets?.lifetimeSeconds ?? 0) * 1000;
}

function isStillAllowed(
  session: ServerSession,
  config: ServerConfig,
  offeredSuites: readonly number[],
): boolean {
  const { code } = session.cipherSuite;
  return (
    offeredSuites.includes(code) &&
    config.cipherSuites.some((suite) => suite.code === code) &&
    equal(session.sessionContext, config.sessionContext) &&
    satisfiesClientAuth(session, config.clientAuth)
  );
}

function satisfiesClientAuth(
  { clientAuth, peerCertificates }: ServerSession,
  wanted: ServerConfig['clientAuth'],
): boolean {
  switch (wanted) {
    case 'none':
      return peerCertificates.length === 0;
    case 'request':
      // Who was not asked then gets the chance to answer now.
      return clientAuth !== 'none';
    case 'require':
      return peerCertificates.length > 0;
  }
}

function fingerprint({ certificates }: Credential): Uint8Array {
  const [leaf] = certificates;
  if (leaf === undefined) throw new TypeError('a credential needs a certificate');
  return hash('sha256', leaf);
}

/** Leaves room in a ClientHello of 16 KiB for the sealed session and everything else. */
const maxSessionBytes = 12 * 1024 - 64;
