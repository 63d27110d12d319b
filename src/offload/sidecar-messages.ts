import type { KeyingMaterialRequest, PeerName, UncheckedSession } from './session.ts';

/** What we tell the sidecar to start a handshake with. */
export type StartParameters = ClientStart | ServerStart;

export interface ClientStart {
  readonly role: 'client';
  readonly applicationProtocols: readonly string[];
  /** Host to reach; empty when `targetIdentities` say whom we expect. */
  readonly targetName: string;
  readonly targetIdentities: readonly PeerName[];
  /** Name in the sidecar's configuration; absent: its default. */
  readonly identity: string | undefined;
  /** Show no certificate even if asked. */
  readonly anonymous: boolean;
  readonly keyingMaterial: readonly KeyingMaterialRequest[];
  /** SHA-256 each; absent or empty: chain and name decide. */
  readonly pinnedPublicKeys?: readonly Uint8Array[];
  readonly requireApplicationProtocol?: boolean;
}

export interface ServerStart {
  readonly role: 'server';
  readonly applicationProtocols: readonly string[];
  readonly identities: readonly string[];
  readonly clientAuth: 'none' | 'request' | 'require' | undefined;
  /** SPIFFE IDs and patterns; absent or empty: all. */
  readonly allowedPeers?: readonly string[];
  readonly keyingMaterial: readonly KeyingMaterialRequest[];
  /** SHA-256 each; absent or empty: the chain decides. */
  readonly pinnedPublicKeys?: readonly Uint8Array[];
  readonly requireApplicationProtocol?: boolean;
}

export type SidecarRequest =
  | {
      readonly type: 'start';
      readonly start: StartParameters;
      /** First bytes of the peer, for servers. */
      readonly bytes: Uint8Array;
      readonly token: string | undefined;
      readonly keepStream: boolean;
    }
  | { readonly type: 'next'; readonly bytes: Uint8Array };

export interface SidecarResponse {
  /** For the peer, before anything else, also beside a failure. */
  readonly outFrames: Uint8Array;
  readonly bytesConsumed: number;
  readonly handshakeId: string | undefined;
  readonly session: UncheckedSession | undefined;
  readonly failure: SidecarFailure | undefined;
}

/** Why the sidecar gave up. */
export interface SidecarFailure {
  /** gRPC status code. */
  readonly code: number;
  readonly details: string;
  readonly reason: string | undefined;
  readonly alert: number | undefined;
  readonly alertFrom: 'us' | 'peer' | undefined;
  /** State of the handshake, by RFC name. */
  readonly state: string | undefined;
  readonly retryAfterMs: number | undefined;
}
