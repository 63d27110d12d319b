import type { KeyObject } from 'node:crypto';
import type {
  CryptoAnswer,
  CryptoTask,
  Inspection,
  InspectTask,
  PooledKey,
} from './crypto-protocol.ts';
import { runTask } from './crypto-task.ts';
import { CryptoThread } from './crypto-thread-handle.ts';
import { KeyManagerError } from './key-manager.ts';

/** What goes first when all threads are busy: what holds a transaction open, then renewals. */
export type CryptoPriority = 'sign' | 'renew' | 'enroll';

export interface CryptoPoolOptions {
  /** 0: everything is done in the calling thread. */
  readonly threads: number;
}

/**
 * Threads for signatures, so that the one that serves connections goes on serving. Work is put
 * together into messages of about a millisecond, as a message costs more than a signature; each
 * thread has two of them, one at work and one waiting.
 */
export class CryptoPool {
  readonly #threads: CryptoThread[] = [];
  readonly #keys = new Map<number, KeyObject>();
  readonly #queues: Readonly<Record<CryptoPriority, Waiting[]>> = {
    sign: [],
    renew: [],
    enroll: [],
  };
  #nextKey = 1;
  #scheduled = false;
  #closed = false;

  constructor(options: CryptoPoolOptions) {
    for (let index = 0; index < options.threads; index += 1) this.#startThread();
  }

  /** Gives a key to every thread, once. Private keys go there as they are, never as bytes. */
  addKey(key: KeyObject): PooledKey {
    const number = this.#nextKey++;
    this.#keys.set(number, key);
    for (const thread of this.#threads) thread.post({ type: 'key', number, key });
    return { number };
  }

  forgetKey({ number }: PooledKey): void {
    this.#keys.delete(number);
    for (const thread of this.#threads) thread.post({ type: 'forget', number });
  }

  /** Signs contents under a scheme (TLS number), in parallel. Rejects with `KeyManagerError`. */
  async signAll(
    key: PooledKey,
    scheme: number,
    contents: readonly Uint8Array[],
  ): Promise<readonly Uint8Array[]> {
    const packed = contents.map(packedBytes);
    const share = Math.max(
      MIN_SIGN_SHARE,
      Math.ceil(packed.length / Math.max(1, this.#threads.length)),
    );
    const shares: Promise<CryptoAnswer>[] = [];
    for (let start = 0; start < packed.length; start += share) {
      const part = packed.slice(start, start + share);
      shares.push(
        this.#run('sign', { kind: 'sign', key: key.number, scheme, contents: part }, part.length),
      );
    }
    return (await Promise.all(shares)).flatMap((answer) => {
      if (answer.kind === 'signed') return answer.signatures;
      throw new KeyManagerError(answer.kind === 'failed' ? answer.problem : 'no signature came');
    });
  }

  /** Judges a request: token, keys, proofs. Rejects with `KeyManagerError` if no thread answers. */
  async inspect(priority: 'renew' | 'enroll', task: InspectTask): Promise<Inspection> {
    const answer = await this.#run(priority, packedInspection(task), INSPECT_WEIGHT);
    if (answer.kind === 'inspected') return answer.inspection;
    throw new KeyManagerError(answer.kind === 'failed' ? answer.problem : 'no judgement came');
  }

  /** Whether a signature is by the owner of a public key. */
  async verify(task: Omit<Extract<CryptoTask, { kind: 'verify' }>, 'kind'>): Promise<boolean> {
    const answer = await this.#run(
      'renew',
      { kind: 'verify', ...packedSignature(task) },
      VERIFY_WEIGHT,
    );
    if (answer.kind === 'verified') return answer.ok;
    throw new KeyManagerError(answer.kind === 'failed' ? answer.problem : 'no judgement came');
  }

  /** Tasks that no thread has yet. */
  get queued(): number {
    const { sign, renew, enroll } = this.#queues;
    return sign.length + renew.length + enroll.length;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const queue of Object.values(this.#queues)) {
      for (const { resolve } of queue.splice(0)) resolve(closed);
    }
    this.#keys.clear();
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()));
  }

  #run(priority: CryptoPriority, task: CryptoTask, weight: number): Promise<CryptoAnswer> {
    if (this.#closed) return Promise.resolve(closed);
    return new Promise((resolve) => {
      this.#queues[priority].push({ task, weight, resolve });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Whatever comes in the same turn of the loop goes together.
    setImmediate(() => {
      this.#scheduled = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    if (this.#threads.length === 0) {
      for (const { task, resolve } of this.#takeBatch()) resolve(runTask(task, this.#keys));
      if (this.queued > 0) this.#schedule();
    }
    for (let depth = 0; depth < MESSAGES_PER_THREAD; depth += 1) {
      for (const thread of this.#threads) {
        if (thread.outstanding > depth) continue;
        const batch = this.#takeBatch();
        if (batch.length === 0) return;
        thread.work(batch);
      }
    }
  }

  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    let weight = 0;
    for (const queue of [this.#queues.sign, this.#queues.renew, this.#queues.enroll]) {
      let taken = 0;
      for (const waiting of queue) {
        if (weight >= MESSAGE_WEIGHT) break;
        weight += waiting.weight;
        batch.push(waiting);
        taken += 1;
      }
      queue.splice(0, taken);
    }
    return batch;
  }

  #startThread(): void {
    const thread = new CryptoThread({
      onAnswered: () => {
        this.#dispatch();
      },
      onLost: () => {
        const index = this.#threads.indexOf(thread);
        if (index === -1) return;
        this.#threads.splice(index, 1);
        // One that cannot even start would not start the next time either.
        if (thread.hasWorked) this.#startThread();
        this.#schedule();
      },
    });
    for (const [number, key] of this.#keys) thread.post({ type: 'key', number, key });
    this.#threads.push(thread);
  }
}

/** A message takes the whole buffer behind a view with it, and small ones share theirs. */
function packedBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
}

function packedSignature(signed: NonNullable<InspectTask['proof']>) {
  return {
    publicKeyInfo: packedBytes(signed.publicKeyInfo),
    content: packedBytes(signed.content),
    signature: packedBytes(signed.signature),
  };
}

function packedInspection(task: InspectTask): CryptoTask {
  const { token, decryptionRequest, proof } = task;
  return {
    kind: 'inspect',
    token: {
      key: token.key,
      content: packedBytes(token.content),
      signature: packedBytes(token.signature),
    },
    tlsRequest: packedBytes(task.tlsRequest),
    decryptionRequest: decryptionRequest && packedBytes(decryptionRequest),
    proof: proof && packedSignature(proof),
  };
}

/** A task and who waits for its answer. */
export interface Waiting {
  readonly task: CryptoTask;
  /** In signatures. */
  readonly weight: number;
  readonly resolve: (answer: CryptoAnswer) => void;
}

const closed: CryptoAnswer = { kind: 'failed', problem: 'the threads have ended' };

/** Costs, as multiples of a P-256 signature of some 40 µs. */
const INSPECT_WEIGHT = 6;
const VERIFY_WEIGHT = 2;
const MESSAGE_WEIGHT = 24;
const MIN_SIGN_SHARE = 8;
const MESSAGES_PER_THREAD = 2;
