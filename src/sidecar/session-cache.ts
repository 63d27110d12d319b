import { copyOf, wipe } from '../bytes/bytes.ts';
import type { ClientSession } from '../tls/config.ts';

/**
 * Sessions our clients can resume, in memory only: a bounded number, least recently stored out
 * first. A session is taken out to be offered, and put back only after a handshake that resumed
 * it succeeded. What is dropped is wiped.
 */
export class ClientSessionCache {
  readonly #capacity: number;
  readonly #maxAgeSeconds: number;
  readonly #sessions = new Map<string, ClientSession>();

  constructor(capacity: number, maxAgeSeconds: number) {
    this.#capacity = capacity;
    this.#maxAgeSeconds = maxAgeSeconds;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Takes a session out, if there is one that is young enough. The caller wipes it. */
  take(key: string, now: Date): ClientSession | undefined {
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    this.#sessions.delete(key);
    if (this.#isFresh(session, now)) return session;
    wipeSession(session);
    return undefined;
  }

  /** Keeps a copy of a session; one kept before under this key is dropped. */
  store(key: string, session: ClientSession): void {
    this.#drop(key);
    if (this.#capacity === 0) return;
    this.#sessions.set(key, copySession(session));
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= this.#capacity) break;
      this.#drop(oldest);
    }
  }

  /** Drops everything, for example when the trust bundle changed. */
  clear(): void {
    for (const key of this.#sessions.keys()) this.#drop(key);
  }

  #drop(key: string): void {
    const session = this.#sessions.get(key);
    if (session !== undefined) wipeSession(session);
    this.#sessions.delete(key);
  }

  /** RFC 5077 §3.3: the hint is the server's; zero leaves it to us. */
  #isFresh({ createdAt, lifetimeHintSeconds }: ClientSession, now: Date): boolean {
    const ageSeconds = (now.getTime() - createdAt.getTime()) / 1000;
    const limit =
      lifetimeHintSeconds === 0
        ? this.#maxAgeSeconds
        : Math.min(lifetimeHintSeconds, this.#maxAgeSeconds);
    return ageSeconds >= 0 && ageSeconds < limit;
  }
}

/** A session with secrets of its own. */
export function copySession(session: ClientSession): ClientSession {
  return { ...session, masterSecret: copyOf(session.masterSecret) };
}

/** Overwrites the secret of a session. */
export function wipeSession(session: ClientSession): void {
  wipe(session.masterSecret);
}
