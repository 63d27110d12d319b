import { type CallerOptions, CallerError, type CallerResult } from './s2a-go.ts';
import type { WireMessage, WireStream } from './wire.ts';

/**
 * Behaves as the C++ library under gRPC does: insists on a status in every response; never sends
 * unconsumed bytes again, except that those of the final response go to the record layer; reports
 * nothing, good or bad, before the stream's own end.
 */
export async function coreClient(options: CallerOptions): Promise<CallerResult> {
  return await run(options, {
    client_start: {
      application_protocols: ['grpc'],
      min_tls_version: 0,
      max_tls_version: 1,
      tls_ciphersuites: [0, 1, 2],
      ...options.start,
    },
  });
}

export async function coreServer(options: CallerOptions): Promise<CallerResult> {
  const first = (await options.source.read(options.readLimit)) ?? Buffer.alloc(0);
  return await run(
    options,
    {
      server_start: {
        application_protocols: ['grpc'],
        min_tls_version: 0,
        max_tls_version: 1,
        tls_ciphersuites: [0, 1, 2],
        in_bytes: first,
        ...options.start,
      },
    },
    first,
  );
}

async function run(
  options: CallerOptions,
  start: WireMessage,
  first: Buffer = Buffer.alloc(0),
): Promise<CallerResult> {
  const { socket, source, readLimit } = options;
  const stream = options.wire.open();
  let sent = first;
  let response = await exchange(stream, options, start);
  for (;;) {
    const out: Buffer = response['out_frames'] ?? Buffer.alloc(0);
    if (out.length > 0) socket.write(out);
    if (response['result'] !== undefined) {
      await finished(stream);
      const { result } = response;
      if (!result.state || !result.local_identity) {
        throw new CallerError('protocol', 'result without state or local identity');
      }
      return {
        result,
        leftover: sent.subarray((response['bytes_consumed'] as number | undefined) ?? 0),
      };
    }
    const read = await source.read(readLimit);
    if (read === undefined) {
      stream.cancel();
      throw new CallerError('peer', 'peer is not responding');
    }
    sent = read;
    response = await exchange(stream, options, { next: { in_bytes: read } });
  }
}

async function exchange(
  stream: WireStream,
  { token, socket }: CallerOptions,
  request: WireMessage,
): Promise<WireMessage> {
  stream.send(token === undefined ? request : { ...request, auth_mechanisms: [{ token }] });
  const response = await stream.receive();
  if (response === undefined) {
    const { code, details } = await stream.status();
    throw new CallerError('stream', `${String(code)}: ${details}`);
  }
  if (Object.keys(response).length === 0) throw new CallerError('protocol', 'empty response');
  const status = response['status'] as WireMessage | undefined | null;
  if (status === undefined || status === null) {
    throw new CallerError('protocol', 'response without status');
  }
  const code = (status['code'] as number | undefined) ?? 0;
  if (code !== 0) {
    // The library drops the frames here; the peer learns of it by the connection's end.
    socket.destroy();
    await finished(stream);
    throw new CallerError('status', String(status['details']));
  }
  return response;
}

async function finished(stream: WireStream): Promise<void> {
  await stream.status();
  if (stream.unread > 0) throw new CallerError('protocol', 'message after the final one');
}
