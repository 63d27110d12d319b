import type { Caller } from '../context.ts';
import type { CaState } from '../store/schema.ts';
import type { Transaction } from '../store/transaction.ts';
import type { RotationKind, RotationStep } from './steps.ts';

/** Replaces the keys of an authority while everything that depends on them goes on. */
export interface Rotation {
  /** Every generation, what each possible step waits for, and the reissue under way. */
  status(): Promise<RotationStatus>;
  /**
   * Takes one step, in one transaction with its gate. Rejects with `ServiceError`:
   * `FAILED_PRECONDITION` with `gate_shut` (says who is missing), `wrong_state` or `key_unusable`;
   * `NOT_FOUND`; `INVALID_ARGUMENT`; `ABORTED` if another took a step meanwhile.
   */
  advance(request: RotationRequest): Promise<RotationGeneration>;
  /**
   * When a host is to renew because of a reissue: its own slot of the window. `undefined`: when it
   * likes. From memory, for every follower of the feed.
   */
  renewAt(agent: Uint8Array, issuer: Uint8Array): Date | undefined;
  /** From when on sidecars have to seal tickets with new keys; `undefined`: never ordered. */
  ticketKeysNotBefore(): Date | undefined;
  /** Called when answers of the two above may have changed. */
  onChange(listener: () => void): () => void;
  /** Begins to tell of this replica and, in automatic mode, to take the steps that are due. */
  start(): Promise<void>;
  close(): Promise<void>;
}

export interface RotationRequest {
  readonly kind: RotationKind;
  readonly step: RotationStep;
  /** Number of the generation; absent: the one the step is due for. */
  readonly number?: number;
  /** Do it although the gate is shut; the reason is audited. `taint` needs one as well. */
  readonly force?: { readonly reason: string };
  /** Of `reissue` and `taint`; absent: chosen by the number of hosts. */
  readonly windowMs?: number;
  readonly caller: Pick<Caller, 'name'>;
  /** Runs in the transaction of the step, after it: for idempotency rows. */
  readonly record?: (transaction: Transaction, result: RotationGeneration) => Promise<void>;
}

/** One generation of whatever is rotated. */
export interface RotationGeneration {
  /** Empty for ticket keys, which the authority never has. */
  readonly id: Uint8Array;
  readonly kind: RotationKind;
  readonly number: number;
  /** Of a token key: `published` (verifies), `signing`, `draining` (still verifies), or `retired`. */
  readonly state: CaState;
  readonly notBefore: Date;
  /** Absent for keys without a certificate. */
  readonly notAfter: Date | undefined;
  /** DER; empty for keys without one. */
  readonly certificate: Uint8Array;
  /** Certificates in use that depend on it; of a token key: usable tokens signed by it. */
  readonly live: number;
}

export interface RotationStatus {
  readonly generations: readonly RotationGeneration[];
  readonly gates: readonly Gate[];
  readonly automatic: boolean;
  readonly campaigns: readonly CampaignStatus[];
}

/** What a step waits for. */
export interface Gate {
  readonly kind: RotationKind;
  readonly number: number;
  readonly step: RotationStep;
  readonly open: boolean;
  readonly needed: number;
  readonly reached: number;
  /** The first few of those that are missing. */
  readonly laggards: readonly Laggard[];
  readonly laggardsTotal: number;
  /** A sentence for each thing counted. */
  readonly detail: string;
}

/** Somebody a gate waits for, and why. */
export interface Laggard {
  /** Empty: not a host, but a replica. */
  readonly agent: Uint8Array;
  /** SPIFFE ID, or the name of a replica. */
  readonly name: string;
  readonly why: string;
}

export interface CampaignStatus {
  readonly id: Uint8Array;
  /** The generation whose certificates are replaced. */
  readonly issuer: Uint8Array;
  readonly startedAt: Date;
  readonly windowMs: number;
  readonly total: number;
  readonly done: number;
  readonly finishedAt: Date | undefined;
}
