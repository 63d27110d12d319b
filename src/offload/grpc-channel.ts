import { connect, type Socket } from 'node:net';
import { GrpcChannel as Channel } from '../rpc/client/grpc-channel.ts';
import { OffloadError, OffloadErrorCode } from './errors.ts';
import type { SidecarAddress } from './sidecar-address.ts';

export type { GrpcCall, GrpcCallEvents } from '../rpc/client/grpc-channel.ts';
export { GrpcStatus, type GrpcStatusAdvice, GrpcStatusError } from '../rpc/client/grpc-status.ts';

/** gRPC to one sidecar; fails with the socket's errors, and `ERR_OFFLOAD_CLOSED` after its end. */
export class GrpcChannel extends Channel {
  constructor(address: SidecarAddress) {
    super({
      connect: () => openSocket(address),
      closedError: () =>
        new OffloadError(OffloadErrorCode.closed, 'this offload was closed', { phase: 'sidecar' }),
      peer: 'sidecar',
    });
  }
}

function openSocket(address: SidecarAddress): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(address);
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
