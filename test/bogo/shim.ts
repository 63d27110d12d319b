import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import type { Handshake } from '../../src/tls/config.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { checkExpectations } from './expectations.ts';
import { ShimConnectionConfig, ShimMemory } from './engine-session.ts';
import { parseFlags, type ShimFlags, Unimplemented, UNIMPLEMENTED } from './flags.ts';
import { ShimConnection } from './connection.ts';
import { OffloadedConnection } from './offload-connection.ts';
import { type NextHandshake, ShimSidecar } from './sidecar.ts';

/**
 * The program BoringSSL's protocol tests run as the implementation under test: the handshake engine
 * and the application's record layer in one process, over a plain socket. With `VIA=sidecar` in the
 * environment it is an application with the offload library, and the engine is behind the gRPC
 * service of a sidecar on a unix socket.
 */
async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes('-is-handshaker-supported')) {
    process.stdout.write('No\n');
    return 0;
  }
  const memory = new ShimMemory();
  const connections = 1 + (parseFlags(argv, 0).numbers.get('resume-count') ?? 0);
  const next: { handshake?: NextHandshake } = {};
  const sidecar =
    process.env['VIA'] === 'sidecar' ? await ShimSidecar.start(() => next.handshake!) : undefined;
  try {
    for (let number = 0; number < connections; number += 1) {
      const flags = parseFlags(argv, number);
      const config = new ShimConnectionConfig(flags);
      next.handshake = { config, memory };
      const socket = await dial(flags);
      const connection =
        sidecar === undefined
          ? new ShimConnection(socket, engine(flags, config, memory), config, flags)
          : new OffloadedConnection(socket, sidecar, flags);
      await oneConnection(connection, flags, memory, number);
    }
  } finally {
    await sidecar?.close();
  }
  return 0;
}

function engine(flags: ShimFlags, config: ShimConnectionConfig, memory: ShimMemory): Handshake {
  return flags.booleans.has('server')
    ? createServerHandshake(config.server(memory))
    : createClientHandshake(config.client(memory));
}

async function oneConnection(
  connection: ShimConnection | OffloadedConnection,
  flags: ShimFlags,
  memory: ShimMemory,
  number: number,
): Promise<void> {
  try {
    const result = await connection.handshake();
    checkExpectations(flags, result, connection, number, memory);
    if (result.session !== undefined) memory.session = result.session;
    await connection.serve(result.keyingMaterial);
  } finally {
    await connection.close();
  }
}

async function dial(flags: ShimFlags): Promise<Socket> {
  const port = flags.numbers.get('port')!;
  const host = flags.booleans.has('ipv6') ? '::1' : '127.0.0.1';
  const socket = connect({ port, host, allowHalfOpen: true, noDelay: true });
  await once(socket, 'connect');
  const id = Buffer.alloc(8);
  id.writeBigUInt64LE(BigInt(flags.strings.get('shim-id')!));
  socket.write(id);
  return socket;
}

main(process.argv.slice(2)).then(
  (status) => {
    process.exitCode = status;
  },
  (error: unknown) => {
    if (error instanceof Unimplemented) {
      process.exitCode = UNIMPLEMENTED;
      return;
    }
    const { reason, message } = error as { reason?: string; message?: string };
    process.stderr.write(`:${reason ?? 'SHIM_ERROR'}: ${message ?? String(error)}\n`);
    process.exitCode = 1;
  },
);
