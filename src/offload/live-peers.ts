import { equal } from '../bytes/bytes.ts';
import { leafNames, type LeafNames } from './leaf-names.ts';

/** An established connection, as far as the one who ends it is concerned. */
export interface LiveConnection {
  /** DER, leaf first; empty if the peer showed none. */
  readonly peerCertificateChain: readonly Uint8Array[];
  /** What the peer proved. */
  readonly peerIdentity: string | undefined;
  /** Ends it; `reason` is the CA's. */
  closeRevoked(reason: string): void;
}

/** Certificates that are not to be trusted any more; empty fields say nothing. */
export interface RevokedPeer {
  /** Serial number of one certificate, without leading zeros … */
  readonly serial: Uint8Array;
  /** … of a CA with this subject (DER); empty: of any. */
  readonly issuer: Uint8Array;
  /** All certificates with this SPIFFE ID. */
  readonly spiffeId: string;
  readonly reason: string;
}

/**
 * The connections of a process by the certificates of their peers: nobody but the process can end
 * one whose peer has been revoked. Costs one entry for each connection.
 */
export class LivePeers {
  /** Called when there is a connection after there was none, and the other way round. */
  onChange: ((occupied: boolean) => void) | undefined;
  readonly #bySerial = new Map<string, Set<LiveConnection>>();
  readonly #byIdentity = new Map<string, Set<LiveConnection>>();
  readonly #places = new Map<LiveConnection, Place>();
  readonly #listeners = new Set<(peer: RevokedPeer) => void>();

  /** Connections kept. */
  get size(): number {
    return this.#places.size;
  }

  /** A connection is established. One whose peer showed no certificate is of no interest. */
  add(connection: LiveConnection): void {
    const names = leafNames(connection.peerCertificateChain);
    const { peerIdentity } = connection;
    if (names === undefined && peerIdentity === undefined) return;
    this.#places.set(connection, { names, peerIdentity });
    if (names !== undefined) insert(this.#bySerial, names.key, connection);
    if (peerIdentity !== undefined) insert(this.#byIdentity, peerIdentity, connection);
    if (this.#places.size === 1) this.onChange?.(true);
  }

  remove(connection: LiveConnection): void {
    const place = this.#places.get(connection);
    if (place === undefined) return;
    this.#places.delete(connection);
    if (place.names !== undefined) withdraw(this.#bySerial, place.names.key, connection);
    if (place.peerIdentity !== undefined) {
      withdraw(this.#byIdentity, place.peerIdentity, connection);
    }
    if (this.#places.size === 0) this.onChange?.(false);
  }

  /** Ends the connections with these peers; answers how many there were. */
  revoke(peers: readonly RevokedPeer[]): number {
    let ended = 0;
    for (const peer of peers) {
      for (const connection of this.#connectionsOf(peer)) {
        connection.closeRevoked(peer.reason);
        this.remove(connection);
        ended += 1;
      }
      for (const listener of this.#listeners) listener(peer);
    }
    return ended;
  }

  /** Has a function called for every peer that is revoked, connected or not; answers how to end that. */
  onRevoked(listener: (peer: RevokedPeer) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** In a list of their own, as ending one takes it out of the index. */
  #connectionsOf({ serial, issuer, spiffeId }: RevokedPeer): readonly LiveConnection[] {
    const found = spiffeId === '' ? [] : [...(this.#byIdentity.get(spiffeId) ?? [])];
    if (serial.length === 0) return found;
    for (const connection of this.#bySerial.get(latin1(serial)) ?? []) {
      const names = this.#places.get(connection)?.names;
      if (issuer.length === 0 || (names !== undefined && equal(names.issuer, issuer))) {
        if (!found.includes(connection)) found.push(connection);
      }
    }
    return found;
  }
}

interface Place {
  readonly names: LeafNames | undefined;
  readonly peerIdentity: string | undefined;
}

function insert(
  index: Map<string, Set<LiveConnection>>,
  key: string,
  connection: LiveConnection,
): void {
  const others = index.get(key);
  if (others === undefined) index.set(key, new Set([connection]));
  else others.add(connection);
}

function withdraw(
  index: Map<string, Set<LiveConnection>>,
  key: string,
  connection: LiveConnection,
): void {
  const others = index.get(key);
  others?.delete(connection);
  if (others?.size === 0) index.delete(key);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
