import { type Logger, pino } from 'pino';
import { ListenError } from '../../rpc/listen.ts';
import {
  checkSidecar,
  ConfigurationError,
  parseSidecarConfig,
  readSettings,
  type Sidecar,
  type SidecarConfig,
} from '../../sidecar/index.ts';
import { startComposition } from './composition.ts';
import { dangerousEnvironment, type StartedWith } from './environment.ts';
import { logOutput } from './log-output.ts';
import { stopSignal } from './stop-signal.ts';
import { makeUndumpable } from './undumpable.ts';

export interface RunSidecarOptions {
  readonly configPath: string;
  /** Say whether the configuration can be used, and end. */
  readonly check?: boolean;
  /** Absent: this process's own. */
  readonly startedWith?: StartedWith;
  /** Where messages for the person at the terminal go. */
  readonly stdout?: (line: string) => void;
  readonly stderr?: (line: string) => void;
  /** Called once it serves. */
  readonly onStarted?: (sidecar: Sidecar) => void;
}

/**
 * Runs a sidecar until SIGTERM or SIGINT, or only checks its configuration. SIGHUP makes it look at
 * its files at once. Answers the exit code: 0 done, 1 failed.
 */
export async function runSidecar(options: RunSidecarOptions): Promise<number> {
  // First of all: without a listener, Node answers this signal by opening its inspector, through
  // which any process of the same user could read the keys.
  process.on('SIGUSR1', ignoreSignal);
  // Before there is a key to be read.
  const isUndumpable = makeUndumpable();
  const stdout = options.stdout ?? ((line) => process.stdout.write(`${line}\n`));
  const stderr = options.stderr ?? ((line) => process.stderr.write(`${line}\n`));
  const dangers = dangerousEnvironment(
    options.startedWith ?? { environment: process.env, nodeOptions: process.execArgv },
  );
  if (dangers.length > 0) {
    for (const danger of dangers) stderr(`refusing to start: ${danger}`);
    return 1;
  }
  try {
    const config = readSettings(options.configPath, parseSidecarConfig);
    if (options.check === true) {
      checkSidecar(config);
      stdout(`${options.configPath}: ok`);
      return 0;
    }
    return await serve(config, options, isUndumpable);
  } catch (error) {
    if (!(error instanceof ConfigurationError || error instanceof ListenError)) throw error;
    for (const line of error.message.split('\n')) stderr(line);
    return 1;
  }
}

async function serve(
  config: SidecarConfig,
  options: RunSidecarOptions,
  isUndumpable: boolean,
): Promise<number> {
  const log = createLog(config.logLevel);
  if (!isUndumpable)
    log.warn('memory of this process can be traced by its user, and left in cores');
  // Before anybody can know that it serves: a signal sent then must not kill it.
  const stopped = stopSignal();
  let reload = (): void => undefined;
  process.on('SIGHUP', () => {
    log.info('reload asked for');
    reload();
  });
  const running = await startComposition(config, { log });
  reload = () => {
    running.sidecar.reload();
  };
  options.onStarted?.(running.sidecar);
  const signal = await stopped;
  log.info({ signal }, 'sidecar stopping');
  await running.drain(config.drainTimeoutMs);
  log.info('sidecar stopped');
  return 0;
}

function createLog(level: string): Logger {
  return pino(
    {
      name: 'sidekey',
      level,
      // A second line of defence: nothing logs these.
      redact: ['token', 'tokens', '*.token', '*.privateKey', 'privateKey', 'key', '*.masterSecret'],
    },
    logOutput(1),
  );
}

function ignoreSignal(): void {
  // Nothing: being handled is what keeps the inspector shut.
}
