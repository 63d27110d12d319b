import { type Logger, pino } from 'pino';
import { ConfigurationError } from '../../sidecar/index.ts';
import { logOutput } from '../sidecar/log-output.ts';
import { stopSignal } from '../sidecar/stop-signal.ts';
import { packageVersion } from '../sidecar/version.ts';

/** A manager or an agent, as a program. */
export interface FleetProgram<Config extends { readonly logLevel: string }> {
  readonly name: 'agent' | 'manager';
  /** Throws `ConfigurationError`. */
  readonly readConfig: (file: string) => Config;
  readonly start: (
    config: Config,
    options: { readonly log: Logger; readonly version: string },
  ) => Promise<{ close(): Promise<void> }>;
  /** Errors of `start` whose message says all there is to say. */
  readonly refusals: readonly (abstract new (...args: never[]) => Error)[];
}

export interface RunOptions {
  readonly configPath: string;
  /** Say whether the configuration can be used, and end. */
  readonly check: boolean;
}

/** Runs one until SIGTERM or SIGINT, or only checks its configuration. Answers the exit code. */
export async function runFleetProgram<Config extends { readonly logLevel: string }>(
  program: FleetProgram<Config>,
  { configPath, check }: RunOptions,
): Promise<number> {
  try {
    const config = program.readConfig(configPath);
    if (check) {
      process.stdout.write(`${configPath}: ok\n`);
      return 0;
    }
    await run(program, config);
    return 0;
  } catch (error) {
    const isRefusal = [ConfigurationError, ...program.refusals].some(
      (kind) => error instanceof kind,
    );
    if (!isRefusal || !(error instanceof Error)) throw error;
    for (const line of error.message.split('\n')) process.stderr.write(`${line}\n`);
    return 1;
  }
}

async function run<Config extends { readonly logLevel: string }>(
  { name, start }: FleetProgram<Config>,
  config: Config,
): Promise<void> {
  const log = pino(
    { name: `sidekey-${name}`, level: config.logLevel, redact: ['bundle', 'secrets', 'token'] },
    logOutput(1),
  );
  // Before anybody can know that it runs: a signal sent then must not kill it.
  const stopped = stopSignal();
  // Nothing else does while it has no port: its calls to the sidecar keep no process alive.
  const alive = setInterval(() => undefined, 60_000);
  try {
    const running = await start(config, { log, version: packageVersion() });
    const signal = await stopped;
    log.info({ signal }, `${name} stopping`);
    await running.close();
    log.info(`${name} stopped`);
  } finally {
    clearInterval(alive);
  }
}
