import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import {
  AdministrationServiceService,
  type RevokeRequest,
  type RevokeResponse,
} from '../../src/gen/sidekey/v1/administration.ts';
import { GrpcChannel } from '../../src/rpc/client/grpc-channel.ts';
import { unary } from '../../src/rpc/client/unary.ts';

/** A channel over a unix socket: to an authority's administration, or to a sidecar. */
export function unixChannel(address: string): GrpcChannel {
  const path = address.replace(/^unix:/u, '');
  return new GrpcChannel({
    connect: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ path }, () => {
          resolve(socket);
        });
        socket.once('error', reject);
      }),
    closedError: () => new Error('the channel is closed'),
    peer: 'authority',
  });
}

export async function revoke(
  channel: GrpcChannel,
  subject: NonNullable<RevokeRequest['subject']>,
): Promise<RevokeResponse> {
  return await unary(channel, AdministrationServiceService.revoke, {
    idempotencyKey: randomUUID(),
    subject,
    reason: 'keyCompromise',
    comment: '',
  });
}
