import { DirectoryInUseError } from '../../identity/index.ts';
import { runFleetProgram, type RunOptions } from '../fleet/program.ts';
import { startAgent } from './agent.ts';
import { readAgentConfig } from './config.ts';
import { StateError } from './state/state-error.ts';

/** Runs an agent until SIGTERM or SIGINT, or only checks its configuration. Answers the exit code. */
export async function runAgent(options: RunOptions): Promise<number> {
  return await runFleetProgram(
    {
      name: 'agent',
      readConfig: readAgentConfig,
      start: startAgent,
      refusals: [StateError, DirectoryInUseError],
    },
    options,
  );
}
