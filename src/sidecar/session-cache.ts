import { copyOf, wipe } from '../bytes/bytes.ts';
import type { ClientSession } from '../tls/config.ts';

/**
 * Sessions our clients can resume, in memory only and of a bounded number. A session is taken out to
 * be offered and put back only after a handshake that resumed it succeeded, so each is in use once at
 * a time; several are kept per key, or parallel connections to one server would rarely find one. What
 * is dropped is wiped.
 */
export class ClientSessionCache {
  readonly #capacity: number;
  readonly #maxAgeSeconds: number;
  /** By key, the one stored into longest ago first; of each key the session stored last is last. */
  readonly #sessions = new Map<string, ClientSession[]>();
  #size = 0;

  constructor(capacity: number, maxAgeSeconds: number) {
    this.#capacity = capacity;
    this.#maxAgeSeconds = maxAgeSeconds;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes out the session stored last that is young enough. The caller wipes it. */
  take(key: string, now: Date): ClientSession | undefined {
    const kept = this.#sessions.get(key) ?? [];
    for (let session = kept.pop(); session !== undefined; session = kept.pop()) {
      this.#size -= 1;
      this.#forgetIfEmpty(key);
      if (this.#isFresh(session, now)) return session;
      wipeSession(session);
    }
    return undefined;
  }

  /** Keeps a copy of a session. */
  store(key: string, session: ClientSession): void {
    if (this.#capacity === 0) return;
    const kept = this.#sessions.get(key) ?? [];
    this.#sessions.delete(key);
    this.#sessions.set(key, kept);
    kept.push(copySession(session));
    this.#size += 1;
    if (kept.length > maxSessionsPerKey) this.#dropOldest(key);
    for (const oldest of this.#sessions.keys()) {
      if (this.#size <= this.#capacity) break;
      this.#dropOldest(oldest);
    }
  }

  /** Drops everything, for example when the trust bundle changed. */
  clear(): void {
    for (const key of this.#sessions.keys()) this.#drop(key);
  }

  #drop(key: string): void {
    while (this.#sessions.has(key)) this.#dropOldest(key);
  }

  #dropOldest(key: string): void {
    const session = this.#sessions.get(key)?.shift();
    if (session !== undefined) {
      wipeSession(session);
      this.#size -= 1;
    }
    this.#forgetIfEmpty(key);
  }

  #forgetIfEmpty(key: string): void {
    if (this.#sessions.get(key)?.length === 0) this.#sessions.delete(key);
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

/** As many as one application's handshakes at once; see the limits of the library. */
const maxSessionsPerKey = 64;
