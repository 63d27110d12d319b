import type { AuthorityKeyType } from '../keys/key-manager.ts';
import { defaultCaLifetimesMs } from '../generations/ca-certificate.ts';
import type { CaKind } from '../store/schema.ts';
import type { GateWindows } from './gate.ts';

/** How an authority rotates its keys. */
export interface RotationSettings {
  readonly automatic: boolean;
  /** Of new generations. */
  readonly lifetimesMs: Readonly<Record<CaKind, number>>;
  /** Of new generations; absent: as the one before. */
  readonly keyTypes: Readonly<Partial<Record<CaKind, AuthorityKeyType>>>;
  readonly windows: GateWindows;
  /** How many hosts a reissue may bring each second, given the rest of the work. */
  readonly reissuesPerSecond: () => number;
  /** Of a reissue with few hosts. */
  readonly minWindowMs: number;
  /** Signs of life of this replica. */
  readonly heartbeatMs: number;
  /** How often the automatic mode looks what is due. */
  readonly driverMs: number;
  /** How long the automatic mode leaves the way back open before it retires the old. */
  readonly overlapMs: number;
  /** After how long the automatic mode replaces a token key. */
  readonly tokenKeyLifetimeMs: number;
}

const hour = 3_600_000;

/** What holds unless set otherwise. */
export const defaultRotationSettings: RotationSettings = {
  automatic: true,
  lifetimesMs: defaultCaLifetimesMs,
  keyTypes: {},
  windows: { hosts: {}, replicas: { staleAfterMs: 30_000 } },
  // A tenth of what one replica was measured to renew on two cores.
  reissuesPerSecond: () => 200,
  minWindowMs: 10_000,
  heartbeatMs: 10_000,
  driverMs: 60_000,
  overlapMs: 24 * hour,
  tokenKeyLifetimeMs: 90 * 24 * hour,
};
