import { copyOf } from '../../bytes/bytes.ts';
import type { ClientSession, HandshakeResult } from '../config.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { receiveFinished, sendFinished } from '../handshake-finished.ts';
import {
  expectChangeCipherSpec as takeChangeCipherSpec,
  expectMessage,
  type HandshakeInput,
} from '../handshake-input.ts';
import {
  clientWriteProtection,
  deriveKeyingMaterial,
  serverWriteProtection,
} from '../handshake-keys.ts';
import { type NewSessionTicket, parseNewSessionTicket } from '../messages/new-session-ticket.ts';
import { HandshakeType } from '../registries.ts';
import type { ClientState, FinishedOrder, FinishedPair, Keyed, StateOf } from './states.ts';

/** What the server says last: a ticket if it promised one, ChangeCipherSpec, Finished. */
export function expectServerFinish(keyed: Keyed, order: FinishedOrder): ClientState {
  if (keyed.negotiated.ticketPromised) return { tag: 'ExpectNewSessionTicket', keyed, order };
  return { tag: 'ExpectChangeCipherSpec', keyed, order, ticket: undefined };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5077#section-3.3 | RFC 5077 §3.3}: once promised, it comes. */
export function expectNewSessionTicket(
  { keyed, order }: StateOf<'ExpectNewSessionTicket'>,
  input: HandshakeInput,
): ClientState {
  const message = expectMessage(input, HandshakeType.new_session_ticket);
  const ticket = parseNewSessionTicket(message.body);
  keyed.negotiated.offer.transcript.add(message.raw);
  return { tag: 'ExpectChangeCipherSpec', keyed, order, ticket };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.1 | RFC 5246 §7.1}. */
export function expectChangeCipherSpec(
  { keyed, order, ticket }: StateOf<'ExpectChangeCipherSpec'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  takeChangeCipherSpec(input);
  connection.protectReading(serverWriteProtection(keyed.negotiated.cipherSuite, keyed.keys));
  return { tag: 'ExpectFinished', keyed, order, ticket };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246 §7.4.9}. */
export function expectFinished(
  { keyed, order, ticket }: StateOf<'ExpectFinished'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ClientState {
  const { negotiated, keys } = keyed;
  const { cipherSuite, offer } = negotiated;
  const { transcript } = offer;
  const { masterSecret } = keys;
  const label = 'server finished';
  const peer = receiveFinished(label, cipherSuite, masterSecret, transcript, input, connection);
  const { exporters } = offer.config;
  const material = deriveKeyingMaterial(negotiated, masterSecret, exporters, connection);
  const local = order.first === 'client' ? order.localFinished : answer(keyed, connection);
  const session = sessionOf(keyed, ticket);
  return {
    tag: 'Established',
    result: resultOf(keyed, { local, peer }, material, session, connection),
  };
}

/** On resumption our Finished comes last. */
function answer({ negotiated, keys }: Keyed, connection: HandshakeConnection): Uint8Array {
  const { cipherSuite, offer } = negotiated;
  connection.protectWriting(clientWriteProtection(cipherSuite, keys));
  return sendFinished(
    'client finished',
    cipherSuite,
    keys.masterSecret,
    offer.transcript,
    connection,
  );
}

/**
 * What to keep for next time. An empty ticket says that the server changed its mind; a session
 * without extended master secret is not worth resuming (RFC 7627 §5.3).
 */
function sessionOf(
  { negotiated, keys, authentication, credential, createdAt }: Keyed,
  ticket: NewSessionTicket | undefined,
): ClientSession | undefined {
  if (ticket === undefined || !negotiated.extendedMasterSecret) return undefined;
  if (ticket.ticket.length === 0 || ticket.ticket.length > maxTicketBytes) return undefined;
  return {
    ticket: copyOf(ticket.ticket),
    cipherSuite: negotiated.cipherSuite,
    masterSecret: copyOf(keys.masterSecret),
    serverName: negotiated.offer.config.serverName,
    createdAt,
    lifetimeHintSeconds: ticket.lifetimeHintSeconds,
    // Copied: as views they would hold the whole flight in memory for the session's life.
    peerCertificates: authentication.certificates.map(copyOf),
    credential,
  };
}

function resultOf(
  { negotiated, keys, authentication, group, credential }: Keyed,
  finished: FinishedPair,
  keyingMaterial: readonly Uint8Array[],
  session: ClientSession | undefined,
  connection: HandshakeConnection,
): HandshakeResult {
  const { keyBlock } = keys;
  return {
    cipherSuite: negotiated.cipherSuite,
    applicationProtocol: negotiated.applicationProtocol,
    resumed: group === undefined,
    extendedMasterSecret: negotiated.extendedMasterSecret,
    serverName: negotiated.offer.config.serverName,
    namedGroup: group,
    signatureScheme: authentication.scheme,
    peerSignatureScheme: authentication.scheme,
    credential,
    peerCertificates: authentication.certificates,
    read: {
      key: keyBlock.serverWriteKey,
      fixedNonce: keyBlock.serverWriteIv,
      sequenceNumber: connection.readSequenceNumber,
    },
    write: {
      key: keyBlock.clientWriteKey,
      fixedNonce: keyBlock.clientWriteIv,
      sequenceNumber: connection.writeSequenceNumber,
    },
    localFinished: finished.local,
    peerFinished: finished.peer.verifyData,
    keyingMaterial,
    session,
  };
}

/** A longer one would make a ClientHello larger than servers, ours included, accept. */
const maxTicketBytes = 12 * 1024;
