import { createSecretKey, type KeyObject } from 'node:crypto';
import { concat, copyOf, equal, wipe } from '../bytes/bytes.ts';
import { Writer } from '../bytes/writer.ts';
import { openAesGcm, sealAesGcm } from '../crypto/aead.ts';
import type { TicketProtector } from './config.ts';
import { ProtocolVersion } from './registries.ts';

export interface TicketKeysOptions {
  readonly now: () => Date;
  /** Cryptographically strong bytes, in memory of their own. */
  readonly random: (length: number) => Uint8Array;
  /** How long a session may be resumed; at most half of `keyLifetimeSeconds`. */
  readonly lifetimeSeconds: number;
  /** How long one key seals; at most a day. */
  readonly keyLifetimeSeconds: number;
  /** How many tickets one key seals; absent: 2^30. */
  readonly sealsPerKey?: number;
}

/** What happened so far, for metrics. */
export interface TicketCounters {
  readonly sealed: number;
  readonly opened: number;
  /** Not sealed by us, altered, or sealed with a key no longer held. */
  readonly refused: number;
  readonly rotations: number;
}

/**
 * The keys of session tickets ({@link https://www.rfc-editor.org/rfc/rfc5077#section-4 | RFC 5077 §4}):
 * random, in memory only, one that seals and the one before it, which only opens.
 *
 * A stolen ticket key opens every session of its window, whatever its key exchange was: hence short
 * windows ({@link https://www.rfc-editor.org/rfc/rfc9325#section-3.4 | RFC 9325 §3.4}). Keys rotate when
 * used; whoever has a timer calls {@link TicketKeys.dropExpired} so that idle keys die in time, too.
 */
export class TicketKeys implements TicketProtector {
  readonly lifetimeSeconds: number;
  readonly #options: TicketKeysOptions;
  readonly #sealsPerKey: number;
  #current: TicketKey | undefined;
  #previous: TicketKey | undefined;
  #sealed = 0;
  #opened = 0;
  #refused = 0;
  #rotations = 0;

  /** Throws `RangeError` for lifetimes that defeat forward secrecy. */
  constructor(options: TicketKeysOptions) {
    const { lifetimeSeconds, keyLifetimeSeconds } = options;
    if (!(keyLifetimeSeconds > 0 && keyLifetimeSeconds <= maxKeyLifetimeSeconds)) {
      throw new RangeError('ticket keys live at most a day');
    }
    if (!(lifetimeSeconds > 0 && lifetimeSeconds <= keyLifetimeSeconds / 2)) {
      throw new RangeError('tickets live at most half as long as their key');
    }
    this.lifetimeSeconds = lifetimeSeconds;
    this.#options = options;
    this.#sealsPerKey = options.sealsPerKey ?? maxSealsPerKey;
  }

  get counters(): TicketCounters {
    return {
      sealed: this.#sealed,
      opened: this.#opened,
      refused: this.#refused,
      rotations: this.#rotations,
    };
  }

  // struct {
  //   opaque key_name[16];
  //   opaque nonce[12];
  //   opaque sealed_state<...>;                 AES-256-GCM, tag last
  // } ticket;

  /** A ticket holding `plaintext`, in memory of its own. */
  seal(plaintext: Uint8Array): Uint8Array {
    const key = this.#sealingKey();
    const nonce = this.#options.random(nonceBytes);
    const sealed = sealAesGcm(key.secret, nonce, plaintext, additionalData(key.name));
    key.seals += 1;
    this.#sealed += 1;
    return concat(key.name, nonce, sealed);
  }

  /** The plaintext, in memory the caller wipes. */
  open(ticket: Uint8Array): Uint8Array | undefined {
    this.dropExpired();
    const plaintext = this.#open(ticket);
    if (plaintext === undefined) this.#refused += 1;
    else this.#opened += 1;
    return plaintext;
  }

  /** Starts a new key now; tickets of the last one stay good for their lifetime. */
  rotate(): void {
    this.#rotate();
  }

  /** Lets go of keys whose tickets are all over age. */
  dropExpired(): void {
    const now = this.#options.now().getTime();
    if (this.#previous !== undefined && isOver(this.#previous, now)) this.#previous = undefined;
    if (this.#current !== undefined && isOver(this.#current, now)) this.#current = undefined;
  }

  /** Lets go of all keys: no ticket sealed so far opens any more. */
  wipe(): void {
    this.#current = undefined;
    this.#previous = undefined;
  }

  #open(ticket: Uint8Array): Uint8Array | undefined {
    if (ticket.length < keyNameBytes + nonceBytes) return undefined;
    const name = ticket.subarray(0, keyNameBytes);
    const nonce = ticket.subarray(keyNameBytes, keyNameBytes + nonceBytes);
    const key = [this.#current, this.#previous].find((held) => held && equal(held.name, name));
    if (key === undefined) return undefined;
    const sealed = ticket.subarray(keyNameBytes + nonceBytes);
    return openAesGcm(key.secret, nonce, sealed, additionalData(name));
  }

  #sealingKey(): TicketKey {
    const current = this.#current;
    if (current !== undefined && this.#maySeal(current)) return current;
    return this.#rotate();
  }

  #rotate(): TicketKey {
    const now = this.#options.now().getTime();
    this.#previous = this.#current;
    if (this.#previous !== undefined) {
      const opensUntil = now + this.lifetimeSeconds * 1000;
      this.#previous.opensUntil = Math.min(this.#previous.opensUntil, opensUntil);
      this.#rotations += 1;
    }
    this.#current = this.#newKey(now);
    this.dropExpired();
    return this.#current;
  }

  #maySeal(key: TicketKey): boolean {
    const age = this.#options.now().getTime() - key.createdAt;
    // A clock set back behind the key's birth would stretch its life.
    return (
      age >= 0 && age < this.#options.keyLifetimeSeconds * 1000 && key.seals < this.#sealsPerKey
    );
  }

  #newKey(now: number): TicketKey {
    const bytes = this.#options.random(keyBytes);
    const secret = createSecretKey(bytes);
    wipe(bytes);
    return {
      name: copyOf(this.#options.random(keyNameBytes)),
      secret,
      createdAt: now,
      opensUntil: now + (this.#options.keyLifetimeSeconds + this.lifetimeSeconds) * 1000,
      seals: 0,
    };
  }
}

/** The secret sits in a KeyObject, which clears its memory when collected; no copy is kept. */
interface TicketKey {
  readonly name: Uint8Array;
  readonly secret: KeyObject;
  readonly createdAt: number;
  opensUntil: number;
  seals: number;
}

function isOver(key: TicketKey, now: number): boolean {
  return now >= key.opensUntil;
}

/** Tickets of another protocol version under the same keys must not open as ours. */
function additionalData(keyName: Uint8Array): Uint8Array {
  return new Writer().u8(ticketFormat).u16(ProtocolVersion.tls12).bytes(keyName).finish();
}

const ticketFormat = 1;
const keyNameBytes = 16;
const keyBytes = 32;
const nonceBytes = 12;
const maxKeyLifetimeSeconds = 24 * 60 * 60;
/** Random nonces are safe to 2^32 messages per key (NIST SP 800-38D §8.3); we stay well below. */
const maxSealsPerKey = 2 ** 30;
