import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { createOffload, type Offload, type OffloadOptions } from '../../offload/index.ts';
import type { Endpoint } from '../arguments.ts';
import { reportConnection } from '../connection-report.ts';
import { printError } from '../terminal.ts';
import { readInput, relay } from './relay.ts';

export interface ConnectOptions {
  readonly offload: OffloadOptions;
  readonly target: Endpoint;
  /** Name the certificate must be for; absent: the host of the target. */
  readonly servername: string | undefined;
  /** SPIFFE IDs of which the peer must prove one, instead of the name. */
  readonly targetIdentities: readonly string[];
  readonly applicationProtocols: readonly string[];
  /** Show no certificate even if the server asks. */
  readonly anonymous: boolean;
  readonly show: boolean;
  readonly times: number;
  /** See `relay`; absent: the peer closes. */
  readonly closeAfterMs: number | undefined;
}

/**
 * Connects `times` times, one after the other, through one client of the sidecar, so that later
 * connections may resume the session of earlier ones.
 *
 * @throws what the offload library threw for the first connection that failed
 */
export async function connectTimes(options: ConnectOptions): Promise<void> {
  const offload = createOffload(options.offload);
  try {
    if (options.times === 1) {
      await connectOnce(offload, options, process.stdin);
      return;
    }
    const input = await readInput(process.stdin);
    for (let time = 0; time < options.times; time++) await connectOnce(offload, options, input);
  } finally {
    // A terminal or an open pipe would keep the process alive.
    process.stdin.destroy();
    await offload.close();
  }
}

async function connectOnce(
  offload: Offload,
  options: ConnectOptions,
  input: Readable | Buffer,
): Promise<void> {
  const socket = offload.connect({
    host: options.target.host,
    port: options.target.port,
    servername: options.servername,
    anonymous: options.anonymous,
    targetIdentities: [...options.targetIdentities],
    ALPNProtocols: [...options.applicationProtocols],
    allowHalfOpen: true,
  });
  await once(socket, 'secureConnect');
  if (options.show) printError(JSON.stringify(reportConnection(socket)));
  await relay(socket, input, process.stdout, options.closeAfterMs);
}
