import type {
  Action,
  ChainVerdict,
  Handshake,
  HandshakeFailure,
  HandshakeResult,
  SignAction,
  VerifyChainAction,
} from '../tls/config.ts';
import type { AlertName } from '../tls/alert.ts';
import { concat } from '../bytes/bytes.ts';

/** What the engine asks of the world. */
export interface EngineOperations {
  /** A promise only where the work is done elsewhere: everything else goes on at once. */
  sign(action: SignAction): Uint8Array | Promise<Uint8Array>;
  verify(action: VerifyChainAction): ChainVerdict;
  /** Something broke while nobody was calling: after a signature made elsewhere. */
  broken(error: unknown): void;
}

/** Where a handshake stands after the bytes it was given. */
export type Progress =
  | { readonly tag: 'more'; readonly out: Uint8Array }
  | {
      readonly tag: 'established';
      readonly out: Uint8Array;
      readonly result: HandshakeResult;
      readonly trailingBytes: number;
    }
  | { readonly tag: 'failed'; readonly out: Uint8Array; readonly failure: HandshakeFailure };

/**
 * Carries out the actions of one engine until it needs more bytes, or is done. Answers by calling
 * back, without waiting a turn of the event loop unless a signature is made elsewhere.
 */
export class EngineDriver {
  readonly #handshake: Handshake;
  readonly #operations: EngineOperations;
  #out: Uint8Array[] = [];
  #ended = false;

  constructor(handshake: Handshake, operations: EngineOperations) {
    this.#handshake = handshake;
    this.#operations = operations;
  }

  get phase(): string {
    return this.#handshake.phase;
  }

  start(answer: (progress: Progress) => void): void {
    this.#perform(this.#handshake.start(), answer);
  }

  receive(bytes: Uint8Array, answer: (progress: Progress) => void): void {
    this.#perform(this.#handshake.receive(bytes), answer);
  }

  /** Ends the handshake at our fault; a signature still being made is not waited for. */
  abort(alert: AlertName, reason: string, message: string): Progress | undefined {
    let last: Progress | undefined;
    this.#perform(this.#handshake.abort(alert, reason, message), (progress) => {
      last = progress;
    });
    return last;
  }

  /** Overwrites all secrets. */
  wipe(): void {
    this.#ended = true;
    this.#handshake.wipe();
  }

  #perform(actions: readonly Action[], answer: (progress: Progress) => void): void {
    const queue = [...actions];
    for (let action = queue.shift(); action !== undefined; action = queue.shift()) {
      switch (action.type) {
        case 'send':
          this.#out.push(action.bytes);
          break;
        case 'sign': {
          const signature = this.#sign(action);
          if (signature instanceof Promise) {
            this.#await(signature, answer);
            return;
          }
          queue.push(
            ...(signature === undefined
              ? this.#signingFailed()
              : this.#handshake.signed(signature)),
          );
          break;
        }
        case 'verifyChain':
          queue.push(...this.#handshake.verified(this.#operations.verify(action)));
          break;
        case 'established':
          this.#ended = true;
          answer({
            tag: 'established',
            out: this.#takeOut(),
            result: action.result,
            trailingBytes: action.trailingBytes,
          });
          return;
        case 'failed':
          this.#ended = true;
          answer({ tag: 'failed', out: this.#takeOut(), failure: action.failure });
          return;
      }
    }
    answer({ tag: 'more', out: this.#takeOut() });
  }

  #sign(action: SignAction): Uint8Array | Promise<Uint8Array> | undefined {
    try {
      return this.#operations.sign(action);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      return undefined;
    }
  }

  #await(signature: Promise<Uint8Array>, answer: (progress: Progress) => void): void {
    signature
      .then(
        (bytes) => () => this.#handshake.signed(bytes),
        () => () => this.#signingFailed(),
      )
      .then((proceed) => {
        if (!this.#ended) this.#perform(proceed(), answer);
      })
      .catch((error: unknown) => {
        this.#operations.broken(error);
      });
  }

  /** What a key backend says about its failure stays out of messages: it may quote its input. */
  #signingFailed(): readonly Action[] {
    return this.#handshake.abort(
      'internal_error',
      'signing_failed',
      'the local key could not sign',
    );
  }

  #takeOut(): Uint8Array {
    const parts = this.#out;
    this.#out = [];
    const [first] = parts;
    return parts.length === 1 && first !== undefined ? first : concat(...parts);
  }
}
