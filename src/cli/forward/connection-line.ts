import type { Socket } from 'node:net';
import type { OffloadSocket } from '../../offload/index.ts';
import { formatEndpoint } from '../arguments.ts';
import { describeFailure } from '../failure.ts';
import { printable } from '../terminal.ts';
import type { Relayed } from './relay-pair.ts';

/** One line about a connection that has ended: who, with whom, how much, how long, and why if not in order. */
export function connectionLine(
  caller: string,
  secure: OffloadSocket,
  relayed: Relayed,
  lifetimeMs: number,
): string {
  const facts = [
    `connection from ${caller}`,
    secure.peerIdentity === undefined ? undefined : `peer ${secure.peerIdentity}`,
    `${String(relayed.towardsTarget)} bytes there`,
    `${String(relayed.towardsCaller)} bytes back`,
    `${(lifetimeMs / 1000).toFixed(3)} s`,
    secure.handshakeId === undefined ? undefined : `handshake ${secure.handshakeId}`,
    relayed.error === undefined ? 'ended' : `broken: ${describeFailure(relayed.error)}`,
  ];
  return printable(facts.filter((fact) => fact !== undefined).join(', '));
}

/** Where a caller came from, to be asked while it is connected. */
export function callerOf(socket: Socket | OffloadSocket): string {
  const { remoteAddress, remotePort } = socket;
  return remoteAddress === undefined || remotePort === undefined
    ? 'a unix socket'
    : formatEndpoint(remoteAddress, remotePort);
}
