import type { KeyObject } from 'node:crypto';
import { sign, signSync } from '../crypto/signatures.ts';

/**
 * Makes signatures. ECDSA and Ed25519 are faster than the way to another thread; RSA goes to the
 * thread pool, a bounded number at a time, so that it cannot keep the pool from everything else.
 */
export class Signer {
  readonly #slots: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(slots: number) {
    this.#slots = slots;
  }

  sign(key: KeyObject, scheme: number, content: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const type = key.asymmetricKeyType;
    if (type !== 'rsa' && type !== 'rsa-pss') return signSync(key, scheme, content);
    return this.#signInPool(key, scheme, content);
  }

  async #signInPool(key: KeyObject, scheme: number, content: Uint8Array): Promise<Uint8Array> {
    if (this.#running >= this.#slots) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await sign(key, scheme, content);
    } finally {
      // The slot goes to the next in line as it is, or back.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
