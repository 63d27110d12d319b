import { parseSidekeyId, type SidekeyId } from '../../../offload/index.ts';

/** As whom an agent connects now, and with whom. */
export interface IdentityInUse {
  /** `bootstrap`: before it is activated, and after. */
  readonly stage: 'bootstrap' | 'enrolled';
  /** Name in the sidecar's configuration. */
  readonly name: string;
  /** SPIFFE IDs for the sidecar to hold peers against; absent: those it trusts for this identity. */
  readonly peers: readonly string[] | undefined;
}

/** The manager at the other end; `undefined`: it is none, or not one to be obeyed. */
export function managerOf(
  peerIdentity: string | undefined,
  { peers }: IdentityInUse,
): SidekeyId | undefined {
  const id = parseSidekeyId(peerIdentity);
  if (id?.role !== 'manager') return undefined;
  if (peers === undefined) return id;
  return peers.some((pattern) => matches(id, pattern)) ? id : undefined;
}

/** The sidecar has checked this before; once more costs nothing. */
function matches(id: SidekeyId, pattern: string): boolean {
  if (!pattern.endsWith('/*')) return id.text === pattern;
  return id.text.slice(0, id.text.lastIndexOf('/')) === pattern.slice(0, -2);
}

/** Managers of one trust domain. */
export function managersOf(trustDomain: string): string {
  return `spiffe://${trustDomain}/manager/*`;
}
