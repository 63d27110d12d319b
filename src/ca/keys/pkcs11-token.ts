import { createHmac, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { equal } from '../../bytes/bytes.ts';
import { KeyManagerError } from './key-manager.ts';
import { pinRefusals, ReturnValue, sessionLosses } from './pkcs11-codes.ts';
import { NO_ANSWER, Pkcs11Error, type Pkcs11Module } from './pkcs11-module.ts';

export interface Pkcs11TokenOptions {
  readonly label: string;
  /** File with the PIN of the normal user; a line's end after it is not part of it. */
  readonly pinPath: string;
  /** Sessions at once. */
  readonly sessions: number;
}

/**
 * A token and the sessions open on it, logged in. A session that is lost is replaced; a PIN that was
 * refused is not tried again before its file has changed, since a token locks after a few attempts.
 */
export class Pkcs11Token {
  readonly #module: Pkcs11Module;
  readonly #options: Pkcs11TokenOptions;
  readonly #idle: number[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #salt = randomBytes(16);
  #inUse = 0;
  #refusedPin: Uint8Array | undefined;
  /** Counts losses: handles of objects found before one may be of another object after it. */
  #era = 0;

  constructor(module: Pkcs11Module, options: Pkcs11TokenOptions) {
    this.#module = module;
    this.#options = options;
  }

  /** What keeps handles of objects has to find them anew when this has changed. */
  get era(): number {
    return this.#era;
  }

  /**
   * Runs `work` on a session that nobody else uses meanwhile; once more on a new one if it was lost and
   * `work` can be done twice. Rejects with {@link KeyManagerError}.
   */
  async use<T>(
    work: (session: number) => Promise<T>,
    options: { readonly repeatable: boolean } = { repeatable: true },
  ): Promise<T> {
    await this.#turn();
    try {
      try {
        return await this.#attempt(work);
      } catch (error) {
        if (!options.repeatable || !isLoss(error)) throw error;
        return await this.#attempt(work);
      }
    } catch (error) {
      throw this.#explain(error);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inUse -= 1;
      else next();
    }
  }

  /** Numbers of the mechanisms that the token has. Rejects with {@link KeyManagerError}. */
  async mechanisms(): Promise<ReadonlySet<number>> {
    try {
      const slot = await this.#findSlot();
      const count = Buffer.alloc(8);
      await this.#module.call('C_GetMechanismList', slot, null, count);
      const list = Buffer.alloc(8 * ulong(count));
      await this.#module.call('C_GetMechanismList', slot, list, count);
      return new Set(ulongs(list, ulong(count)));
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async close(): Promise<void> {
    for (const session of this.#idle.splice(0)) {
      await this.#module.call('C_CloseSession', session).catch(ignoreFailure);
    }
  }

  async #turn(): Promise<void> {
    if (this.#inUse < this.#options.sessions) {
      this.#inUse += 1;
      return;
    }
    // Whoever is done hands its turn on.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  async #attempt<T>(work: (session: number) => Promise<T>): Promise<T> {
    const session = this.#idle.pop() ?? (await this.#openSession());
    try {
      const result = await work(session);
      this.#idle.push(session);
      return result;
    } catch (error) {
      if (isLoss(error)) {
        // The others are on the same token: whatever happened to it happened to them.
        this.#era += 1;
        await this.close();
      }
      // One whose call still hangs is left to it.
      const hangs = error instanceof Pkcs11Error && error.code === NO_ANSWER;
      if (!hangs) await this.#module.call('C_CloseSession', session).catch(ignoreFailure);
      throw error;
    }
  }

  async #openSession(): Promise<number> {
    const slot = await this.#findSlot();
    const handle = Buffer.alloc(8);
    // CKF_SERIAL_SESSION | CKF_RW_SESSION
    await this.#module.call('C_OpenSession', slot, 6, null, null, handle);
    const session = ulong(handle);
    try {
      await this.#login(slot, session);
      return session;
    } catch (error) {
      await this.#module.call('C_CloseSession', session).catch(ignoreFailure);
      throw error;
    }
  }

  /** All sessions of a process share the login. */
  async #login(slot: number, session: number): Promise<void> {
    const { label, pinPath } = this.#options;
    const pin = await readPin(pinPath);
    const digest = createHmac('sha256', this.#salt).update(pin).digest();
    try {
      if (this.#refusedPin !== undefined && equal(digest, this.#refusedPin)) {
        throw new KeyManagerError(refusedPin(label, pinPath));
      }
      await this.#refuseLastAttempt(slot);
      // CKU_USER
      await this.#module.call('C_Login', session, 1, pin, pin.length);
    } catch (error) {
      if (!(error instanceof Pkcs11Error)) throw error;
      if (error.code === ReturnValue.userAlreadyLoggedIn) return;
      if (!pinRefusals.has(error.code)) throw error;
      this.#refusedPin = digest;
      throw new KeyManagerError(`${refusedPin(label, pinPath)} (${error.message})`);
    } finally {
      pin.fill(0);
    }
  }

  /** An attempt that could lock the token is for a person to make. */
  async #refuseLastAttempt(slot: number): Promise<void> {
    const { flags } = await this.#tokenInfo(slot);
    const { label } = this.#options;
    if ((flags & PIN_LOCKED) !== 0)
      throw new KeyManagerError(`the PIN of token "${label}" is locked`);
    if ((flags & PIN_FINAL_TRY) !== 0) {
      throw new KeyManagerError(
        `one more wrong PIN would lock token "${label}": log in to it by hand first`,
      );
    }
  }

  async #findSlot(): Promise<number> {
    const { label } = this.#options;
    const count = Buffer.alloc(8);
    await this.#module.call('C_GetSlotList', 1, null, count);
    const list = Buffer.alloc(8 * ulong(count));
    await this.#module.call('C_GetSlotList', 1, list, count);
    for (const slot of ulongs(list, ulong(count))) {
      if ((await this.#tokenInfo(slot)).label === label) return slot;
    }
    throw new KeyManagerError(`there is no token "${label}"`);
  }

  /* typedef struct CK_TOKEN_INFO { CK_UTF8CHAR label[32], manufacturerID[32], model[16]; CK_CHAR
   * serialNumber[16]; CK_FLAGS flags; … } */
  async #tokenInfo(slot: number): Promise<{ readonly label: string; readonly flags: number }> {
    const info = Buffer.alloc(TOKEN_INFO_BYTES);
    await this.#module.call('C_GetTokenInfo', slot, info);
    return { label: info.toString('utf8', 0, 32).trimEnd(), flags: info.readUInt32LE(96) };
  }

  #explain(error: unknown): unknown {
    if (!(error instanceof Pkcs11Error)) return error;
    const message = `token "${this.#options.label}": ${error.message}`;
    return new KeyManagerError(message, { cause: error });
  }
}

/** A CK_ULONG that a call has written. */
export function ulong(bytes: Buffer): number {
  return Number(bytes.readBigUInt64LE());
}

/** The first `count` of an array of CK_ULONG. */
export function ulongs(bytes: Buffer, count: number): number[] {
  const length = Math.min(count, bytes.length / 8);
  return Array.from({ length }, (_, index) => Number(bytes.readBigUInt64LE(8 * index)));
}

async function readPin(path: string): Promise<Buffer> {
  let content;
  try {
    content = await readFile(path);
  } catch (error) {
    throw new KeyManagerError(`cannot read the PIN in ${path}`, { cause: error });
  }
  let end = content.length;
  while (end > 0 && (content[end - 1] === 0x0a || content[end - 1] === 0x0d)) end -= 1;
  return content.subarray(0, end);
}

function refusedPin(label: string, path: string): string {
  return `token "${label}" refuses the PIN in ${path}: it is not tried again before the file changes`;
}

function isLoss(error: unknown): boolean {
  return error instanceof Pkcs11Error && sessionLosses.has(error.code);
}

/** Of a session that is given up anyway. */
function ignoreFailure(error: unknown): void {
  if (!(error instanceof Pkcs11Error)) throw error;
}

/** CK_TOKEN_INFO has 208 bytes; some to spare. */
const TOKEN_INFO_BYTES = 512;
/** CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED */
const PIN_FINAL_TRY = 0x20000;
const PIN_LOCKED = 0x40000;
