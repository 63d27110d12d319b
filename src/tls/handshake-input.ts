import { TlsAlertError } from './alert.ts';
import type { ChainVerdict } from './config.ts';
import type { HandshakeMessage } from './messages/handshake-message.ts';
import { HandshakeType, nameOf } from './registries.ts';

/** What can move a handshake on: something the peer sent, or the driver's answer to an action. */
export type HandshakeInput =
  | { readonly type: 'message'; readonly message: HandshakeMessage }
  | { readonly type: 'changeCipherSpec' }
  | { readonly type: 'signature'; readonly signature: Uint8Array }
  | { readonly type: 'verdict'; readonly verdict: ChainVerdict };

/**
 * The message a state waits for. Everything else is `unexpected_message`
 * ({@link https://www.rfc-editor.org/rfc/rfc5246#section-7.3 | RFC 5246 §7.3}): no state skips,
 * repeats or reorders.
 */
export function expectMessage(input: HandshakeInput, type: HandshakeType): HandshakeMessage {
  return expectMessageOf(input, [type]);
}

/** As {@link expectMessage} where the flight branches. */
export function expectMessageOf(
  input: HandshakeInput,
  types: readonly HandshakeType[],
): HandshakeMessage {
  if (input.type === 'message' && types.some((type) => type === input.message.type)) {
    return input.message;
  }
  throw unexpected(input, types.map(messageName).join(' or '));
}

/** Refuses everything but a ChangeCipherSpec. */
export function expectChangeCipherSpec(input: HandshakeInput): void {
  if (input.type !== 'changeCipherSpec') throw unexpected(input, 'ChangeCipherSpec');
}

/** The answer to `sign`. The engine hands a state waiting for it nothing else. */
export function expectSignature(input: HandshakeInput): Uint8Array {
  if (input.type !== 'signature') throw unexpected(input, 'a signature of ours');
  return input.signature;
}

/** The answer to `verifyChain`. The engine hands a state waiting for it nothing else. */
export function expectVerdict(input: HandshakeInput): ChainVerdict {
  if (input.type !== 'verdict') throw unexpected(input, 'a verdict of ours');
  return input.verdict;
}

/** RFC spelling of a message type: `ServerHelloDone`. */
export function messageName(type: number): string {
  return nameOf(HandshakeType, type)
    .split('_')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

function unexpected(input: HandshakeInput, expected: string): TlsAlertError {
  const got = describe(input);
  return new TlsAlertError('unexpected_message', `got ${got}, expected ${expected}`);
}

function describe(input: HandshakeInput): string {
  switch (input.type) {
    case 'message':
      return messageName(input.message.type);
    case 'changeCipherSpec':
      return 'ChangeCipherSpec';
    case 'signature':
      return 'a signature';
    case 'verdict':
      return 'a verdict';
  }
}
