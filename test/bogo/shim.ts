import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createClientHandshake } from '../../src/tls/client/handshake.ts';
import { createServerHandshake } from '../../src/tls/server/handshake.ts';
import { checkExpectations } from './expectations.ts';
import { ShimConnectionConfig, ShimMemory } from './engine-session.ts';
import { parseFlags, type ShimFlags, Unimplemented, UNIMPLEMENTED } from './flags.ts';
import { ShimConnection } from './connection.ts';

/**
 * The program BoringSSL's protocol tests run as the implementation under test: the handshake engine
 * and the application's record layer in one process, over a plain socket.
 */
async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes('-is-handshaker-supported')) {
    process.stdout.write('No\n');
    return 0;
  }
  const memory = new ShimMemory();
  const connections = 1 + (parseFlags(argv, 0).numbers.get('resume-count') ?? 0);
  for (let number = 0; number < connections; number += 1) {
    await oneConnection(parseFlags(argv, number), memory, number);
  }
  return 0;
}

async function oneConnection(flags: ShimFlags, memory: ShimMemory, number: number): Promise<void> {
  const config = new ShimConnectionConfig(flags);
  const socket = await dial(flags);
  const handshake = flags.booleans.has('server')
    ? createServerHandshake(config.server(memory))
    : createClientHandshake(config.client(memory));
  const connection = new ShimConnection(socket, handshake, config, flags);
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
