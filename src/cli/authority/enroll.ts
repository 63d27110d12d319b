import { open } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WorkloadServiceService as Workload } from '../../gen/sidekey/v1/workload.ts';
import { parseSidecarAddress, type SidecarAddress } from '../../offload/sidecar-address.ts';
import { GrpcChannel } from '../../rpc/client/grpc-channel.ts';
import { GrpcStatus, GrpcStatusError } from '../../rpc/client/grpc-status.ts';
import { unary } from '../../rpc/client/unary.ts';
import { type OutputFormat, print } from '../terminal.ts';
import { AuthorityError } from './client.ts';
import { toJson } from './json.ts';
import { formatMoment } from './print.ts';

export interface EnrollOptions {
  readonly bundle: string;
  readonly sidecar: string;
  /** Empty: the only one that is `enrolled`. */
  readonly identity: string;
}

/**
 * Hands a bundle to a sidecar, which makes its keys and enrols. The bundle holds a private key: it is
 * wiped here when it was sent.
 *
 * @throws AuthorityError with what the sidecar says
 */
export async function enroll(options: EnrollOptions, format: OutputFormat): Promise<void> {
  const address = parseSidecarAddress(options.sidecar);
  const bundle = await readBundle(options.bundle);
  const channel = new GrpcChannel({
    connect: () => dial(address, options.sidecar),
    closedError: () => new AuthorityError('the connection to the sidecar is closed'),
    peer: 'sidecar',
  });
  try {
    const request = { identity: options.identity, bundle };
    const answer = await unary(channel, Workload.enrollIdentity, request, {
      timeoutMs: enrolTimeoutMs,
    });
    if (format === 'json') print(JSON.stringify(toJson(answer), null, 2));
    else {
      const how = answer.alreadyEnrolled ? 'had enrolled before' : 'enrolled';
      print(`${how} as ${answer.spiffeId}, until ${formatMoment(answer.notAfter)}`);
    }
  } catch (error) {
    throw asEnrolError(error);
  } finally {
    bundle.fill(0);
    await channel.close();
  }
}

/** @throws if it is larger than any bundle, or cannot be read */
async function readBundle(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > maxBundleBytes) throw new Error(`${path} is too large for a bundle`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}

async function dial(address: SidecarAddress, text: string): Promise<Duplex> {
  return await new Promise((resolve, reject) => {
    const socket = connectSocket(address);
    const failed = (cause: Error): void => {
      const message = `no sidecar answers at ${text}: ${cause.message}`;
      reject(new AuthorityError(message, 'sidecar_unreachable', { cause }));
    };
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.removeListener('error', failed);
      resolve(socket);
    });
  });
}

function asEnrolError(error: unknown): unknown {
  if (!(error instanceof GrpcStatusError)) return error;
  if (error.code === GrpcStatus.unimplemented) {
    return new AuthorityError('the sidecar has no identity that enrols', 'unimplemented');
  }
  const message = error.details === '' ? error.message : error.details;
  return new AuthorityError(message, error.advice.reason, { cause: error });
}

const maxBundleBytes = 256 * 1024;
/** The sidecar tries every address of the bundle in turn. */
const enrolTimeoutMs = 60_000;
