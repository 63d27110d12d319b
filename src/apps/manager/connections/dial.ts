import type { Offload, OffloadSocket } from '../../../offload/index.ts';
import { directProtocols } from '../../fleet/agent-api/connection.ts';
import type { HandshakeGate } from './handshake-gate.ts';
import { AgentUnreachable } from '../requests/failure.ts';
import { secured } from './secured.ts';

/** What a manager dials with. */
export interface DialOptions {
  readonly offload: Offload;
  readonly identity: string | undefined;
  readonly gate: HandshakeGate;
}

/** Who has to answer: one agent, any agent of a trust domain, or the owner of a bootstrap key. */
export type Expected =
  | { readonly kind: 'agent'; readonly spiffeId: string }
  | { readonly kind: 'any'; readonly trustDomain: string }
  | { readonly kind: 'bootstrap'; readonly keyHash: string };

/** Opens a secured connection to an agent; the handshake fails if somebody else answers. */
export async function dialAgent(
  { offload, identity, gate }: DialOptions,
  address: string,
  expected: Expected,
): Promise<OffloadSocket> {
  // All dialling is one source: accepting comes in between.
  const leave = await gate.enter('dialled');
  if (leave === undefined) throw new AgentUnreachable('too many handshakes wait');
  try {
    const colon = address.lastIndexOf(':');
    const socket = offload.connect({
      host: address.slice(0, colon).replace(/^\[|\]$/gu, ''),
      port: Number(address.slice(colon + 1)),
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      ...(identity === undefined ? {} : { identity }),
      ALPNProtocols: directProtocols,
      requireApplicationProtocol: true,
      ...peerOptions(expected),
    });
    await secured(socket);
    return socket;
  } finally {
    leave();
  }
}

function peerOptions(expected: Expected) {
  switch (expected.kind) {
    case 'agent':
      return { targetIdentities: [expected.spiffeId] };
    case 'any':
      return { targetIdentities: [`spiffe://${expected.trustDomain}/agent/*`] };
    case 'bootstrap':
      return { pinnedPublicKeys: [`sha256:${expected.keyHash}`] };
  }
}
