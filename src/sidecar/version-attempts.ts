/** A version of SSL or TLS below the floor. */
export type OldVersion = 'SSLv2' | 'SSLv3' | 'TLSv1.0' | 'TLSv1.1';

/** How often a peer came with an old version only. */
export interface VersionAttempt {
  readonly peer: string;
  /** Highest version it offered. */
  readonly offered: OldVersion;
  readonly count: number;
}

/**
 * Counts peers that speak nothing the floor allows, so that people know whom they would cut off, or
 * have. Bounded: when full, whoever was seen longest ago makes room.
 */
export class VersionAttempts {
  readonly #capacity: number;
  readonly #counts = new Map<string, VersionAttempt>();

  constructor(capacity = 256) {
    this.#capacity = capacity;
  }

  add(peer: string, offered: OldVersion): void {
    const key = `${offered} ${peer}`;
    const count = (this.#counts.get(key)?.count ?? 0) + 1;
    this.#counts.delete(key);
    this.#counts.set(key, { peer, offered, count });
    if (this.#counts.size <= this.#capacity) return;
    const [oldest] = this.#counts.keys();
    if (oldest !== undefined) this.#counts.delete(oldest);
  }

  list(): readonly VersionAttempt[] {
    return [...this.#counts.values()];
  }
}

// struct { ContentType type; ProtocolVersion version; uint16 length; } TLSPlaintext header;
// struct { HandshakeType msg_type; uint24 length; ProtocolVersion client_version; ... } ClientHello;

/**
 * The highest version a client offers in its first bytes, if that is below TLS 1.2 (RFC 5246 appendix
 * E.1); `undefined` also for what is no ClientHello. Clients that know TLS 1.3 never state less than
 * 1.2 here (RFC 8446 §4.1.2).
 */
export function offeredVersion(firstBytes: Uint8Array): OldVersion | undefined {
  const [type, , , , , messageType] = firstBytes;
  if (type === handshakeRecord && messageType === clientHello) {
    const [major, minor] = firstBytes.subarray(9, 11);
    if (major !== 3 || minor === undefined) return undefined;
    return versions[minor];
  }
  // The two-byte length of an SSLv2 record, CLIENT-HELLO, and its version (RFC 5246 appendix E.2).
  const isSsl2 = type !== undefined && (type & 0x80) !== 0 && firstBytes[2] === clientHello;
  if (!isSsl2) return undefined;
  if (firstBytes[3] === 0 && firstBytes[4] === 2) return 'SSLv2';
  return firstBytes[3] === 3 ? versions[firstBytes[4] ?? 0xff] : undefined;
}

const handshakeRecord = 22;
const clientHello = 1;
const versions: readonly OldVersion[] = ['SSLv3', 'TLSv1.0', 'TLSv1.1'];
