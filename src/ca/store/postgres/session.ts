import type pg from 'pg';
import { queriesOver } from '../../../database/dialect.ts';
import { sqlState, StoreError } from '../../../database/errors.ts';
import { executeInOrder, isLost, query } from '../../../database/postgres/client.ts';
import type { Session } from '../runner.ts';
import type { Schema } from '../schema.ts';
import type { Head } from '../transaction-scope.ts';

/** Finds out what became of a commit whose answer was lost. Rejects if it did not take place. */
export type ResolveCommit = (start: Head, head: Head, cause: unknown) => Promise<void>;

/** One transaction on a connection. */
export function postgresSession(client: pg.ClientBase, resolve: ResolveCommit): Session {
  return {
    queries: queriesOver<Schema>('postgres', executeInOrder(client)),
    begin: async () => {
      try {
        await query(client, beginAlone);
      } catch (error) {
        throw sqlState(error) === lockNotAvailable
          ? new StoreError('another replica held the store for too long', { cause: error })
          : error;
      }
    },
    announce: async () => {
      await query(client, `notify ${feedChannel}`);
    },
    commit: async (start, head) => {
      let command;
      try {
        ({ command } = await query(client, 'commit'));
      } catch (error) {
        if (!(error instanceof StoreError) && !isLost(error)) throw error;
        await resolve(start, head, error);
        return;
      }
      // The server answers so to the commit of a transaction one of whose statements had failed.
      if (command !== 'COMMIT') throw new Error('a failed transaction was to be committed');
    },
    rollback: async () => {
      await query(client, 'rollback');
    },
  };
}

/**
 * Every transaction that writes holds this row from its beginning: one at a time over all replicas,
 * so that each sees what those before it did, and none can wait for another in a circle.
 */
export const beginAlone = `begin; select 1 from counter where name = 'write' for update`;
/** Where commits that published to the feed are heard of. */
export const feedChannel = 'sidekey_feed';
const lockNotAvailable = '55P03';
