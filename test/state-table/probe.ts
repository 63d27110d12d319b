import { AlertDescription } from '../../src/tls/alert.ts';
import type { Action, Handshake, HandshakeFailure } from '../../src/tls/config.ts';
import { encodeHandshakeMessage } from '../../src/tls/messages/handshake-message.ts';
import { ContentType, HandshakeType, ProtocolVersion } from '../../src/tls/registries.ts';
import type { EngineSide } from '../support/engine-driver.ts';
import type { PuppetClient, PuppetServer } from '../support/puppet.ts';

/** One way of coming to a state. */
export interface Row<P> {
  /** Tag of the state; `Failed` for the end that has no state. */
  readonly state: string;
  /** What happened before, in words. */
  readonly after: string;
  /** A fresh engine and a puppet that have come so far. */
  readonly reach: () => Reached<P>;
}

export interface Reached<P> {
  readonly side: EngineSide;
  readonly puppet: P;
}

/** Something a peer could say now, with the keys it has. */
export interface Input<P> {
  readonly name: string;
  readonly say: (puppet: P) => Uint8Array;
}

/** What an engine does with what it hears. */
export type Reaction =
  | { readonly type: 'moves'; readonly to: string }
  /** Taken and of no effect. */
  | { readonly type: 'ignored' }
  /** Not looked at before the driver has answered. */
  | { readonly type: 'kept' }
  | { readonly type: 'refused'; readonly alert: string }
  /** Ends without an alert of ours: the peer said it was over. */
  | { readonly type: 'ended'; readonly by: string }
  /** The bytes are not the engine's: calling it is the driver's mistake. */
  | { readonly type: 'not for it' }
  /** The failure of before is told again and nothing is sent. */
  | { readonly type: 'silent' };

/** Says one thing to an engine that was brought to a state. Throws if it breaks its own rules. */
export function probe<P extends PuppetClient | PuppetServer>(
  row: Row<P>,
  input: Input<P>,
): Reaction {
  const { side, puppet } = row.reach();
  const { handshake } = side;
  const before = handshake.phase;
  if (before !== row.state) throw new Error(`${row.after}: in ${before}, not in ${row.state}`);
  const isPending = before.startsWith('Await');
  const bytes = input.say(puppet);
  const actions = attempt(handshake, bytes);
  if (actions === undefined) return { type: 'not for it' };
  const failure = actions.find((action) => action.type === 'failed')?.failure;
  if (failure !== undefined) return reactionToFailure(before, failure, actions, puppet);
  if (handshake.phase !== before) return { type: 'moves', to: handshake.phase };
  if (actions.length > 0) throw new Error(`${input.name} in ${before}: an action without a move`);
  return { type: isPending ? 'kept' : 'ignored' };
}

/** What both roles may hear besides what is particular to them. */
export function commonInputs<P extends PuppetClient | PuppetServer>(): readonly Input<P>[] {
  const record = (name: string, type: number, body: Uint8Array): Input<P> => ({
    name,
    say: (puppet) => puppet.record(type, body),
  });
  return [
    ...otherMessages.map(([name, type]) => ({
      name,
      say: (puppet: P) => puppet.message(type, new Uint8Array(0)),
    })),
    {
      name: 'Finished with other verify_data',
      say: (puppet) => puppet.message(HandshakeType.finished, new Uint8Array(12)),
    },
    {
      name: 'Finished, not protected',
      say: () => {
        const finished = encodeHandshakeMessage(HandshakeType.finished, new Uint8Array(12));
        const { tls12 } = ProtocolVersion;
        return Uint8Array.of(22, tls12 >> 8, tls12 & 255, 0, finished.length, ...finished);
      },
    },
    record('ChangeCipherSpec', ContentType.change_cipher_spec, Uint8Array.of(1)),
    record('ChangeCipherSpec of value 2', ContentType.change_cipher_spec, Uint8Array.of(2)),
    record('alert: warning no_renegotiation', ContentType.alert, Uint8Array.of(1, 100)),
    record('alert: warning close_notify', ContentType.alert, Uint8Array.of(1, 0)),
    record('alert: warning user_canceled', ContentType.alert, Uint8Array.of(1, 90)),
    record('alert: fatal handshake_failure', ContentType.alert, Uint8Array.of(2, 40)),
    record('alert: unknown level', ContentType.alert, Uint8Array.of(3, 40)),
    record('alert: one byte', ContentType.alert, Uint8Array.of(2)),
    record('application data', ContentType.application_data, Buffer.from('x')),
    record('a record of type heartbeat', 24, Uint8Array.of(1, 0, 0)),
    record('an empty handshake record', ContentType.handshake, new Uint8Array(0)),
  ];
}

/** A HelloRequest: in no transcript (RFC 5246 §7.4.1.1). */
export function helloRequest(puppet: PuppetClient | PuppetServer): Uint8Array {
  const raw = encodeHandshakeMessage(HandshakeType.hello_request, new Uint8Array(0));
  return puppet.record(ContentType.handshake, raw);
}

/** A Finished, as right as can be: before there are keys no value is. */
export function finished(puppet: PuppetClient | PuppetServer): Uint8Array {
  if (puppet.master !== undefined && puppet.suite !== undefined) return puppet.finished();
  return puppet.message(HandshakeType.finished, new Uint8Array(12));
}

/** A state as wanted: everything asked is answered, but for what the last step asks if `pending`. */
export function advance<P extends PuppetClient | PuppetServer>(
  { side, puppet }: Reached<P>,
  steps: readonly ((puppet: P) => Uint8Array)[],
  pending: boolean,
): void {
  for (const [index, step] of steps.entries()) {
    const bytes = step(puppet);
    if (pending && index === steps.length - 1) side.handshake.receive(bytes);
    else puppet.take(side.receive(bytes));
  }
}

function attempt(handshake: Handshake, bytes: Uint8Array): readonly Action[] | undefined {
  try {
    return handshake.receive(bytes);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

function reactionToFailure(
  before: string,
  failure: HandshakeFailure,
  actions: readonly Action[],
  puppet: PuppetClient | PuppetServer,
): Reaction {
  const sent = actions.flatMap((action) => (action.type === 'send' ? [action.bytes] : []));
  if (before === 'Failed') {
    if (sent.length > 0) throw new Error('a failed engine sends');
    return { type: 'silent' };
  }
  // Opened with the keys the peer has: an alert protected wrongly does not get through here.
  const alert = puppet.take(Buffer.concat(sent));
  if (failure.kind === 'peer_alert' || failure.kind === 'peer_closed') {
    if (alert !== undefined) throw new Error('an alert is answered by an alert');
    return { type: 'ended', by: failure.kind };
  }
  const name = Object.entries(AlertDescription).find(([, number]) => number === alert)?.[0];
  if (name === undefined || name !== failure.alert || failure.phase !== before) {
    throw new Error(`sent ${String(name)}, reports ${String(failure.alert)} in ${failure.phase}`);
  }
  return { type: 'refused', alert: name };
}

/** Types with a name that have no place in TLS 1.2 without extensions we do not offer, and one without. */
const otherMessages = [
  ['HelloVerifyRequest (DTLS)', 3],
  ['EndOfEarlyData (TLS 1.3)', 5],
  ['EncryptedExtensions (TLS 1.3)', 8],
  ['CertificateUrl', 21],
  ['SupplementalData', 23],
  ['KeyUpdate (TLS 1.3)', 24],
  ['MessageHash (TLS 1.3)', 254],
  ['a message of type 99', 99],
] as const;
