import { pino } from 'pino';
import { StoreError } from '../../database/errors.ts';
import { ListenError } from '../../rpc/listen.ts';
import { ConfigurationError } from '../../sidecar/index.ts';
import { logOutput } from '../sidecar/log-output.ts';
import { packageVersion } from '../sidecar/version.ts';
import { readManagerConfig } from './config.ts';
import { startManager } from './manager.ts';

export interface RunManagerOptions {
  readonly configPath: string;
  /** Say whether the configuration can be used, and end. */
  readonly check: boolean;
}

/** Runs a manager until SIGTERM or SIGINT, or only checks its configuration. Answers the exit code. */
export async function runManager({ configPath, check }: RunManagerOptions): Promise<number> {
  try {
    const config = readManagerConfig(configPath);
    if (check) {
      process.stdout.write(`${configPath}: ok\n`);
      return 0;
    }
    const log = pino(
      { name: 'sidekey-manager', level: config.logLevel, redact: ['bundle', 'secrets', 'token'] },
      logOutput(1),
    );
    const stopped = stopSignal();
    // Nothing else does while it listens nowhere: its calls to the sidecar keep no process alive.
    const alive = setInterval(() => undefined, 60_000);
    try {
      const manager = await startManager(config, { log, version: packageVersion() });
      const signal = await stopped;
      log.info({ signal }, 'manager stopping');
      await manager.close();
      log.info('manager stopped');
    } finally {
      clearInterval(alive);
    }
    return 0;
  } catch (error) {
    const known =
      error instanceof ConfigurationError ||
      error instanceof StoreError ||
      error instanceof ListenError;
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
