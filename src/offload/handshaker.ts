import type { LivePeers } from './live-peers.ts';
import type { PeerInbox } from './peer-inbox.ts';
import type { Session } from './session.ts';
import type { StartParameters } from './sidecar-messages.ts';

/** The connection to the peer, as a handshake sees it. */
export interface PeerLink {
  readonly inbox: PeerInbox;
  write(bytes: Uint8Array): void;
}

export interface Established {
  readonly session: Session;
  /** The peer's bytes behind the last handshake record: the record layer's first input. */
  readonly leftover: Uint8Array;
}

/** Whoever runs handshakes for sockets: a sidecar, or an engine in the process of one. */
export interface Handshaker {
  /**
   * One handshake. Rejects with the reason of `signal` when that is aborted, and otherwise with what
   * went wrong, the peer having been sent the alert if there is one. Nothing is held afterwards.
   */
  perform(start: StartParameters, peer: PeerLink, signal: AbortSignal): Promise<Established>;
  /** Where connections stand while they live, so that those of revoked peers can be ended. */
  readonly livePeers: LivePeers;
}
