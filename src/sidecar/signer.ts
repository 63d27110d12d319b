import type { KeyObject } from 'node:crypto';
import { sign, signSync } from '../crypto/signatures.ts';

/**
 * Makes signatures. P-256 and Ed25519 are faster than the way to another thread; RSA and P-384 go to
 * the thread pool, a bounded number at a time, so that they keep neither the event loop nor the pool
 * from everything else.
 */
export class Signer {
  readonly #slots: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(slots: number) {
    this.#slots = slots;
  }

  sign(key: KeyObject, scheme: number, content: Uint8Array): Uint8Array | Promise<Uint8Array> {
    return isSlow(key) ? this.#signInPool(key, scheme, content) : signSync(key, scheme, content);
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

function isSlow({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  return type === 'rsa' || type === 'rsa-pss' || details?.namedCurve === 'secp384r1';
}
