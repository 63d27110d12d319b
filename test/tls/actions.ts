import type { Action, Handshake } from '../../src/tls/config.ts';
import { signWithIdentity, trustIdentities } from '../support/engine-driver.ts';

/** What actions are, in order. */
export function types(actions: readonly Action[]): readonly string[] {
  return actions.map(({ type }) => type);
}

/** Bytes for the peer. */
export function sent(actions: readonly Action[]): Buffer {
  return Buffer.concat(actions.flatMap((action) => (action.type === 'send' ? [action.bytes] : [])));
}

/** Answers all questions in a list of actions, and those that follow. */
export function answerAll(engine: Handshake, actions: readonly Action[]): readonly Action[] {
  return actions.flatMap((action) => {
    if (action.type === 'sign') return answerAll(engine, engine.signed(signWithIdentity(action)));
    if (action.type === 'verifyChain') {
      return answerAll(engine, engine.verified(trustIdentities(action)));
    }
    return [action];
  });
}
