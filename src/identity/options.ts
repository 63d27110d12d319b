import type { Logger } from 'pino';
import type { ListenerReport } from '../gen/sidekey/v1/certificate_authority.ts';
import type { HostPoint } from './crash-points.ts';
import type { DialAuthority } from './dial.ts';
import type { EnrolmentLatch } from './enrolment-latch.ts';
import type { Timers } from './timers.ts';

/** Kinds of TLS keys a host makes for itself. */
export type TlsKeyType = 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519' | 'rsa';

/** Kinds of keys that open what is encrypted for the host; `none`: it wants no such key. */
export type DecryptionKeyType = 'ecdsa-p256' | 'rsa' | 'none';

export interface EnrolledIdentityOptions {
  /** In the configuration; for messages. */
  readonly name: string;
  /** Where keys and all other state are kept: made if missing, and ours alone. */
  readonly directory: string;
  readonly dial: DialAuthority;
  readonly now: () => Date;
  readonly random: (length: number) => Uint8Array;
  readonly log: Logger;
  /** Of the program, for the authority's inventory. */
  readonly version: string;
  /** What this host's listeners do now; asked whenever a report is due. */
  readonly listeners?: () => readonly ListenerReport[];
  /** Absent: `ecdsa-p256`. */
  readonly tlsKeyType?: TlsKeyType;
  /** Absent: `ecdsa-p256`. */
  readonly decryptionKeyType?: DecryptionKeyType;
  /** What ends with the enrolment; absent: nothing. */
  readonly latch?: EnrolmentLatch;
  /** Absent: Node's, which do not keep the process alive. */
  readonly timers?: Timers;
  /** Called when a step is done after which a crash must do no harm; for tests of that. */
  readonly reached?: (point: HostPoint) => void;
}
