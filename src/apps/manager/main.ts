import { StoreError } from '../../database/errors.ts';
import { ListenError } from '../../rpc/listen.ts';
import { runFleetProgram, type RunOptions } from '../fleet/program.ts';
import { readManagerConfig } from './config.ts';
import { startManager } from './manager.ts';

/** Runs a manager until SIGTERM or SIGINT, or only checks its configuration. Answers the exit code. */
export async function runManager(options: RunOptions): Promise<number> {
  return await runFleetProgram(
    {
      name: 'manager',
      readConfig: readManagerConfig,
      start: startManager,
      refusals: [StoreError, ListenError],
    },
    options,
  );
}
