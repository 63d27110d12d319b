import { createPublicKey } from 'node:crypto';
import { keyKindOf } from '../../src/crypto/keys.ts';
import type { Action, Handshake, HandshakeFailure, HandshakeResult } from '../../src/tls/config.ts';
import {
  encodeHandshakeMessage,
  HandshakeReassembler,
} from '../../src/tls/messages/handshake-message.ts';
import { bodyOf, Deframer } from '../../src/tls/record/framing.ts';
import { ContentType, type HandshakeType } from '../../src/tls/registries.ts';
import type { CallMethod, ConnectionLog, LoggedCall } from './flight-log.ts';

/** What the peer of a recorded connection sent, in parts that can be taken away, moved or changed. */
export type PeerPart =
  | { readonly kind: 'message'; readonly raw: Uint8Array }
  /** A whole record: ChangeCipherSpec, alert, or whatever is protected. */
  | { readonly kind: 'record'; readonly bytes: Uint8Array };

/** The parts in order; messages are those before the peer's ChangeCipherSpec. */
export function peerParts({ calls }: ConnectionLog): readonly PeerPart[] {
  const parts: PeerPart[] = [];
  const deframer = new Deframer('initial');
  const reassembler = new HandshakeReassembler();
  for (const call of calls) if (call.method === 'receive') deframer.push(call.input);
  let isProtected = false;
  for (let next = deframer.next(); next !== undefined; next = deframer.next()) {
    if (next.type !== ContentType.handshake || isProtected) {
      parts.push({ kind: 'record', bytes: next.record });
    } else {
      reassembler.push(bodyOf(next.record));
      for (let message = reassembler.next(); message; message = reassembler.next()) {
        parts.push({ kind: 'message', raw: message.raw });
      }
    }
    isProtected ||= next.type === ContentType.change_cipher_spec;
  }
  return parts;
}

/** The bytes of parts, every message in a record of its own. */
export function partBytes(parts: readonly PeerPart[]): Uint8Array {
  return Buffer.concat(
    parts.map((part) =>
      part.kind === 'record' ? part.bytes : recordOf(ContentType.handshake, part.raw),
    ),
  );
}

/** A message part with any body; the length in its header fits. */
export function messagePart(type: HandshakeType, body: Uint8Array): PeerPart {
  return { kind: 'message', raw: encodeHandshakeMessage(type, body) };
}

export function recordOf(type: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(type, 3, 3, body.length >> 8, body.length & 0xff), body]);
}

/** Makes one recorded call again. */
export function repeatCall(
  engine: Handshake,
  { method, input }: Omit<LoggedCall, 'actions'>,
): readonly Action[] {
  switch (method) {
    case 'start':
      return engine.start();
    case 'receive':
      return engine.receive(input);
    case 'signed':
      return engine.signed(input);
    case 'verified': {
      const publicKey = createPublicKey({ key: Buffer.from(input), format: 'der', type: 'spki' });
      const keyKind = keyKindOf(publicKey);
      if (keyKind === undefined) throw new Error('a key we do not use');
      return engine.verified({ ok: true, publicKey, keyKind });
    }
  }
}

/** How an engine fared with what it was given. */
export interface Outcome {
  readonly result: HandshakeResult | undefined;
  readonly trailingBytes: number;
  readonly failure: HandshakeFailure | undefined;
  readonly sent: Uint8Array;
  /** Records of type alert among what was sent. */
  readonly alerts: number;
}

/**
 * Runs an engine on pieces of bytes. It is answered as in the record: every chain is good and has
 * the key it had then, every signature is the one made then, whatever is to be signed now.
 */
export function runEngine(
  engine: Handshake,
  { calls }: ConnectionLog,
  pieces: Iterable<Uint8Array>,
): Outcome {
  const sent: Uint8Array[] = [];
  let result: HandshakeResult | undefined;
  let failure: HandshakeFailure | undefined;
  let trailingBytes = 0;
  const perform = (actions: readonly Action[]): void => {
    for (const action of actions) {
      switch (action.type) {
        case 'send':
          sent.push(action.bytes);
          break;
        case 'sign':
          perform(repeatCall(engine, recorded(calls, 'signed')));
          break;
        case 'verifyChain':
          perform(repeatCall(engine, recorded(calls, 'verified')));
          break;
        case 'established':
          result = action.result;
          trailingBytes = action.trailingBytes;
          break;
        case 'failed':
          failure = action.failure;
      }
    }
  };
  perform(engine.start());
  for (const piece of pieces) {
    if (result !== undefined || failure !== undefined) break;
    perform(engine.receive(piece));
  }
  const bytes = Buffer.concat(sent);
  return { result, trailingBytes, failure, sent: bytes, alerts: countAlerts(bytes) };
}

/** A connection on which something was never asked gets an answer that cannot be right. */
function recorded(
  calls: readonly LoggedCall[],
  method: CallMethod,
): { method: CallMethod; input: Uint8Array } {
  return calls.find((call) => call.method === method) ?? { method, input: new Uint8Array(64) };
}

function countAlerts(sent: Uint8Array): number {
  const deframer = new Deframer('initial');
  deframer.push(sent);
  let alerts = 0;
  for (let next = deframer.next(); next !== undefined; next = deframer.next()) {
    if (next.type === ContentType.change_cipher_spec) deframer.epoch = 'protected';
    if (next.type === ContentType.alert) alerts += 1;
  }
  return alerts;
}
