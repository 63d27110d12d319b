import { parseSidekeyId, type SidekeyId } from '../../../offload/index.ts';

/** As whom an agent connects now, and with whom. */
export interface IdentityInUse {
  /** `bootstrap`: before it is activated, and after. */
  readonly stage: 'bootstrap' | 'enrolled';
  /** Name in the sidecar's configuration. */
  readonly name: string;
  /** SPIFFE IDs for the sidecar to hold peers against. */
  readonly peers: readonly string[];
}

/** The manager at the other end; `undefined`: it is none. The handshake has let pass nobody but those of `peers`. */
export function managerOf(peerIdentity: string | undefined): SidekeyId | undefined {
  const id = parseSidekeyId(peerIdentity);
  return id?.role === 'manager' ? id : undefined;
}

/** All managers of a trust domain; absent: of all the identity trusts. */
export function managersOf(trustDomain = '*'): readonly string[] {
  return [`spiffe://${trustDomain}/manager/*`];
}
