/** What a role may be; the authority puts one into every identity, and it never changes. */
export type SidekeyRole = (typeof roles)[number];

/** A SPIFFE ID as Sidekey's authority gives them: `spiffe://TRUST-DOMAIN/ROLE/UUID`. */
export interface SidekeyId {
  /** The ID as it is compared, byte for byte. */
  readonly text: string;
  readonly trustDomain: string;
  readonly role: SidekeyRole;
  /** Of the agent, lower case. */
  readonly uuid: string;
}

/**
 * The parts of an identity that a peer proved. "Issued by the same authority" is true of every host of
 * a fleet: an application has to look at the role as well, or let the sidecar by `allowedPeers` and
 * `targetIdentities`. `undefined` for DNS names, other SPIFFE IDs, and no identity at all.
 */
export function parseSidekeyId(text: string | undefined): SidekeyId | undefined {
  const [, trustDomain, name, uuid] = form.exec(text ?? '') ?? [];
  const role = roles.find((known) => known === name);
  if (text === undefined || trustDomain === undefined || uuid === undefined) return undefined;
  return role === undefined ? undefined : { text, trustDomain, role, uuid };
}

const roles = ['authority', 'manager', 'agent', 'service', 'operator'] as const;
const form =
  /^spiffe:\/\/([a-z0-9._-]{1,255})\/([a-z]+)\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/u;
