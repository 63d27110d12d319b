import { wipe } from '../bytes/bytes.ts';
import type { AlertName } from './alert.ts';
import type {
  Action,
  ChainVerdict,
  Handshake,
  HandshakeFailure,
  HandshakeResult,
  SignAction,
  VerifyChainAction,
} from './config.ts';
import type { HandshakeConnection } from './handshake-connection.ts';
import { endingOf, LocalFailure } from './handshake-failure.ts';
import type { HandshakeInput } from './handshake-input.ts';
import { HandshakeIntake } from './handshake-intake.ts';
import { HandshakeOutput } from './handshake-output.ts';
import { encodeHandshakeMessage } from './messages/handshake-message.ts';
import type { RecordProtectionParameters } from './record/protection.ts';
import { HandshakeType } from './registries.ts';
import type { Transcript } from './transcript.ts';

/** The state machine of one role: a union of states and the one `switch` over them. */
export interface HandshakeRole<State extends { readonly tag: string }> {
  readonly initial: State;
  /** What happens before the peer says anything. */
  start(connection: HandshakeConnection): State;
  step(state: State, input: HandshakeInput, connection: HandshakeConnection): State;
  /** What the handshake led to, in the last state only. */
  resultOf(state: State): HandshakeResult | undefined;
}

/**
 * Everything of a handshake that is not the order of its messages: bytes in and out, questions to
 * the driver, and the one `catch` that makes an error an alert.
 */
export class HandshakeEngine<State extends { readonly tag: string }>
  implements Handshake, HandshakeConnection
{
  readonly #role: HandshakeRole<State>;
  readonly #intake = new HandshakeIntake();
  readonly #output = new HandshakeOutput();
  readonly #secrets: Uint8Array[] = [];
  #life: Life<State>;
  /** What the driver was asked and has not answered. */
  #question: SignAction | VerifyChainAction | undefined;
  #actions: Action[] = [];

  constructor(role: HandshakeRole<State>) {
    this.#role = role;
    this.#life = { stage: 'new', state: role.initial };
  }

  get phase(): string {
    return this.#life.stage === 'failed' ? 'Failed' : this.#life.state.tag;
  }

  start(): readonly Action[] {
    if (this.#life.stage === 'failed') return this.#again(this.#life.failure);
    if (this.#life.stage !== 'new') throw new TypeError('the handshake is already started');
    return this.#run(() => this.#role.start(this));
  }

  receive(bytes: Uint8Array): readonly Action[] {
    if (this.#life.stage === 'failed') return this.#again(this.#life.failure);
    const state = this.#runningState();
    return this.#run(() => {
      if (this.#question === undefined) this.#intake.push(bytes);
      else this.#intake.hold(bytes);
      return state;
    });
  }

  signed(signature: Uint8Array): readonly Action[] {
    return this.#answer('sign', { type: 'signature', signature });
  }

  verified(verdict: ChainVerdict): readonly Action[] {
    return this.#answer('verifyChain', { type: 'verdict', verdict });
  }

  abort(alert: AlertName, reason: string, message: string): readonly Action[] {
    if (this.#life.stage === 'failed') return this.#again(this.#life.failure);
    // Too late to give up: the keys are handed over, and an alert is the application's to send.
    if (this.#life.stage === 'established') return [];
    return this.#run(() => {
      throw new LocalFailure(alert, reason, message);
    });
  }

  wipe(): void {
    if (this.#life.stage === 'new' || this.#life.stage === 'running') {
      const failure = {
        kind: 'local',
        reason: 'abandoned',
        message: 'the handshake was abandoned',
        phase: this.phase,
      } as const;
      this.#life = { stage: 'failed', failure };
    }
    this.#release();
  }

  // What states may do.

  get readSequenceNumber(): bigint {
    return this.#intake.sequenceNumber;
  }

  get writeSequenceNumber(): bigint {
    return this.#output.sequenceNumber;
  }

  send(transcript: Transcript, type: HandshakeType, body: Uint8Array): void {
    const raw = encodeHandshakeMessage(type, body);
    transcript.add(raw);
    if (type === HandshakeType.client_hello) this.#output.clientHello(raw);
    else this.#output.message(raw);
  }

  protectWriting(protection: RecordProtectionParameters): void {
    this.#output.changeCipherSpec(protection);
  }

  protectReading(protection: RecordProtectionParameters): void {
    this.#intake.protect(protection);
  }

  fixVersion(): void {
    this.#intake.fixVersion();
  }

  requireFlightEnd(message: string): void {
    this.#intake.requireFlightEnd(message);
  }

  ask(action: SignAction | VerifyChainAction): void {
    this.#question = action;
    this.#actions.push(action);
  }

  ignoreMessage(): void {
    this.#intake.ignoreMessage();
  }

  keep(...secrets: readonly Uint8Array[]): void {
    this.#secrets.push(...secrets);
  }

  #answer(type: 'sign' | 'verifyChain', input: HandshakeInput): readonly Action[] {
    // An answer may come after the deadline that ended the handshake.
    if (this.#life.stage === 'failed') return this.#again(this.#life.failure);
    const state = this.#runningState();
    if (this.#question?.type !== type) throw new TypeError(`no answer to ${type} is awaited`);
    return this.#run(() => {
      this.#question = undefined;
      return this.#role.step(state, input, this);
    });
  }

  #runningState(): State {
    if (this.#life.stage === 'running') return this.#life.state;
    throw new TypeError(`the handshake is ${this.#life.stage}`);
  }

  /** Makes a first step, then as many as the bytes at hand allow. */
  #run(first: () => State): readonly Action[] {
    try {
      this.#enter(first());
      // A flight that waits for a signature goes out whole, with what is signed. Any other goes out
      // before more is read: what is sent must not depend on how the peer's bytes are cut.
      while (this.#question === undefined) {
        this.#flush();
        if (this.#life.stage !== 'running') break;
        const input = this.#intake.next();
        if (input === undefined) break;
        this.#enter(this.#role.step(this.#life.state, input, this));
      }
      this.#finish();
    } catch (error) {
      this.#fail(error);
    }
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  #enter(state: State): void {
    const done = this.#role.resultOf(state) !== undefined;
    this.#life = { stage: done ? 'established' : 'running', state };
  }

  #finish(): void {
    if (this.#life.stage !== 'established') return;
    const result = this.#role.resultOf(this.#life.state);
    if (result === undefined) return;
    const trailingBytes = this.#intake.bufferedBytes;
    this.#actions.push({ type: 'established', result, trailingBytes });
  }

  #flush(): void {
    const bytes = this.#output.take();
    if (bytes !== undefined) this.#actions.push({ type: 'send', bytes });
  }

  #fail(error: unknown): void {
    const { failure, alert } = endingOf(error, this.phase);
    this.#life = { stage: 'failed', failure };
    // Nothing asked in this call counts any more; flights that were complete are said.
    this.#actions = this.#actions.filter(({ type }) => type === 'send');
    if (alert !== undefined) {
      this.#output.fatalAlert(alert);
      this.#flush();
    }
    this.#actions.push({ type: 'failed', failure });
    this.#release();
  }

  #again(failure: HandshakeFailure): readonly Action[] {
    return [{ type: 'failed', failure }];
  }

  #release(): void {
    this.#question = undefined;
    this.#intake.free();
    this.#output.free();
    wipe(...this.#secrets);
    this.#secrets.length = 0;
  }
}

type Life<State> =
  | { readonly stage: 'new' | 'running' | 'established'; readonly state: State }
  | { readonly stage: 'failed'; readonly failure: HandshakeFailure };
