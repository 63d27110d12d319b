import { pino } from 'pino';
import { DirectoryInUseError } from '../../identity/index.ts';
import { ConfigurationError } from '../../sidecar/index.ts';
import { logOutput } from '../sidecar/log-output.ts';
import { packageVersion } from '../sidecar/version.ts';
import { startAgent } from './agent.ts';
import { readAgentConfig } from './config.ts';
import { StateError } from './state/state-error.ts';

export interface RunAgentOptions {
  readonly configPath: string;
  /** Say whether the configuration can be used, and end. */
  readonly check: boolean;
}

/** Runs an agent until SIGTERM or SIGINT, or only checks its configuration. Answers the exit code. */
export async function runAgent({ configPath, check }: RunAgentOptions): Promise<number> {
  try {
    const config = readAgentConfig(configPath);
    if (check) {
      process.stdout.write(`${configPath}: ok\n`);
      return 0;
    }
    const log = pino(
      { name: 'sidekey-agent', level: config.logLevel, redact: ['bundle', 'secrets', 'token'] },
      logOutput(1),
    );
    const stopped = stopSignal();
    // Nothing else does while the agent has no port: its calls to the sidecar keep no process alive.
    const alive = setInterval(() => undefined, 60_000);
    try {
      const agent = await startAgent(config, { log, version: packageVersion() });
      const signal = await stopped;
      log.info({ signal }, 'agent stopping');
      await agent.close();
      log.info('agent stopped');
    } finally {
      clearInterval(alive);
    }
    return 0;
  } catch (error) {
    const known =
      error instanceof ConfigurationError ||
      error instanceof StateError ||
      error instanceof DirectoryInUseError;
    if (!known) throw error;
    for (const line of error.message.split('\n')) process.stderr.write(`${line}\n`);
    return 1;
  }
}

/** Resolves with the first signal to stop; a second one ends the process at once. */
async function stopSignal(): Promise<NodeJS.Signals> {
  return await new Promise((resolve) => {
    let stopping = false;
    const stop = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(1);
      stopping = true;
      resolve(signal);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
