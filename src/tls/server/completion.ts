import type { HandshakeResult } from '../config.ts';
import type { HandshakeConnection } from '../handshake-connection.ts';
import { receiveFinished, sendFinished } from '../handshake-finished.ts';
import {
  expectChangeCipherSpec as takeChangeCipherSpec,
  type HandshakeInput,
} from '../handshake-input.ts';
import {
  clientWriteProtection,
  deriveKeyingMaterial,
  serverWriteProtection,
} from '../handshake-keys.ts';
import { encodeNewSessionTicket } from '../messages/new-session-ticket.ts';
import { HandshakeType } from '../registries.ts';
import { makeTicket } from './resumption.ts';
import type { FinishedPair, Keyed, ServerState, StateOf } from './states.ts';

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.1 | RFC 5246 §7.1}. */
export function expectChangeCipherSpec(
  { keyed, order }: StateOf<'ExpectChangeCipherSpec'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  takeChangeCipherSpec(input);
  connection.protectReading(clientWriteProtection(keyed.negotiated.cipherSuite, keyed.keys));
  return { tag: 'ExpectFinished', keyed, order };
}

/** {@link https://www.rfc-editor.org/rfc/rfc5246#section-7.4.9 | RFC 5246 §7.4.9}. */
export function expectFinished(
  { keyed, order }: StateOf<'ExpectFinished'>,
  input: HandshakeInput,
  connection: HandshakeConnection,
): ServerState {
  const { negotiated, keys } = keyed;
  const { cipherSuite, transcript, config } = negotiated;
  const { masterSecret } = keys;
  const label = 'client finished';
  const peer = receiveFinished(label, cipherSuite, masterSecret, transcript, input, connection);
  const material = deriveKeyingMaterial(negotiated, masterSecret, config.exporters, connection);
  const local =
    order.first === 'server' ? order.localFinished : sendServerFinish(keyed, connection);
  return { tag: 'Established', result: resultOf(keyed, { local, peer }, material, connection) };
}

/** What we say last: a ticket if we promised one, ChangeCipherSpec, Finished. */
export function sendServerFinish(keyed: Keyed, connection: HandshakeConnection): Uint8Array {
  const { negotiated, keys } = keyed;
  const { cipherSuite, transcript } = negotiated;
  if (negotiated.ticketPromised) sendNewSessionTicket(keyed, connection);
  connection.protectWriting(serverWriteProtection(cipherSuite, keys));
  const { masterSecret } = keys;
  return sendFinished('server finished', cipherSuite, masterSecret, transcript, connection);
}

/** {@link https://www.rfc-editor.org/rfc/rfc5077#section-3.3 | RFC 5077 §3.3}. */
function sendNewSessionTicket(keyed: Keyed, connection: HandshakeConnection): void {
  const { config, transcript } = keyed.negotiated;
  if (config.tickets === undefined) return;
  const ticket = makeTicket(keyed, config.tickets);
  const ageSeconds = Math.floor((config.now().getTime() - keyed.createdAt.getTime()) / 1000);
  // What is left of the session's life: one issued again does not live longer.
  const left = Math.max(config.tickets.lifetimeSeconds - ageSeconds, 0);
  const lifetimeHintSeconds = ticket.length === 0 ? 0 : left;
  const body = encodeNewSessionTicket({ lifetimeHintSeconds, ticket });
  connection.send(transcript, HandshakeType.new_session_ticket, body);
}

function resultOf(
  { negotiated, keys, authentication, exchange }: Keyed,
  finished: FinishedPair,
  keyingMaterial: readonly Uint8Array[],
  connection: HandshakeConnection,
): HandshakeResult {
  const { keyBlock } = keys;
  return {
    cipherSuite: negotiated.cipherSuite,
    applicationProtocol: negotiated.applicationProtocol,
    resumed: exchange === undefined,
    extendedMasterSecret: negotiated.extendedMasterSecret,
    serverName: negotiated.serverName,
    namedGroup: exchange?.group,
    signatureScheme: exchange?.scheme,
    peerSignatureScheme: authentication.scheme,
    credential: negotiated.credential,
    peerCertificates: authentication.certificates,
    read: {
      key: keyBlock.clientWriteKey,
      fixedNonce: keyBlock.clientWriteIv,
      sequenceNumber: connection.readSequenceNumber,
    },
    write: {
      key: keyBlock.serverWriteKey,
      fixedNonce: keyBlock.serverWriteIv,
      sequenceNumber: connection.writeSequenceNumber,
    },
    localFinished: finished.local,
    peerFinished: finished.peer.verifyData,
    keyingMaterial,
    session: undefined,
  };
}
