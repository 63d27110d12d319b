import type { Logger } from 'pino';

/** Where the store is and what it needs of its surroundings. */
export interface StoreOptions {
  /**
   * `sqlite:PATH`, or `postgres://USER@HOST:PORT/DATABASE`. PostgreSQL takes `host` (a directory with
   * its unix socket), `sslmode` (`verify-full`, or `disable`, which is warned of; the default is
   * `verify-full` unless the host is this machine), `sslrootcert` and `passfile` (files) as
   * parameters.
   */
  readonly url: string;
  readonly now: () => Date;
  readonly log: Logger;
  /**
   * File that remembers, outside of the store, how far the store had come, so that one restored from
   * a backup or failed over to a lagging standby is noticed at start. Absent: beside an SQLite store;
   * for PostgreSQL only noticed while running.
   */
  readonly witnessPath?: string;
  /** Refuse to issue when the disk has less left. Default 64 MiB. */
  readonly minFreeBytes?: number;
  /** How long a commit took. */
  readonly onCommit?: (durationMs: number) => void;
  /**
   * Called when the store can no longer be trusted in this process (a failed sync, a corrupt page).
   * By default the process ends at once: what is durable is only known after a new start.
   */
  readonly onFatal?: (error: Error) => void;
}

/** What a new store is told once. */
export interface NewStore {
  readonly trustDomain: string;
  readonly random: (length: number) => Uint8Array;
}

export { StoreError } from '../../database/errors.ts';
