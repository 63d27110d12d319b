import { equal } from '../../bytes/bytes.ts';
import { type Certificate, parseSpiffeId, spiffeIdOf } from '../../pki/index.ts';
import type { Generation } from '../generations/generation.ts';
import type { Role } from '../store/schema.ts';

/**
 * Who is at the other end of a connection to the enrolment port, after its chain was verified against
 * the roots of the trust bundle and the enrolment CAs.
 */
export type PeerIdentity =
  /** No client certificate: only where the port is open, and only to enrol. */
  | { readonly kind: 'none' }
  /** The enrol-only credential of a bundle: may enrol and renew, and is nobody. */
  | { readonly kind: 'enrolment'; readonly certificate: Certificate }
  | {
      readonly kind: 'host';
      readonly certificate: Certificate;
      readonly spiffeId: string;
      readonly role: Role;
    };

/**
 * Tells the owner of a verified leaf by the CA that signed it, never by a name the leaf claims: an
 * enrolment CA makes nobody. `undefined`: a leaf of ours that is no host's.
 */
export function identifyPeer(
  leaf: Certificate,
  generations: readonly Generation[],
  trustDomain: string,
): PeerIdentity | undefined {
  const issuer = generations.find(
    ({ kind, certificate }) =>
      kind !== 'root' &&
      equal(certificate.subject, leaf.issuer) &&
      certificate.subjectKeyId !== undefined &&
      leaf.authorityKeyId !== undefined &&
      equal(certificate.subjectKeyId, leaf.authorityKeyId),
  );
  if (issuer?.kind === 'enrolment') return { kind: 'enrolment', certificate: leaf };
  const text = spiffeIdOf(leaf);
  const id = text === undefined ? undefined : parseSpiffeId(text);
  if (id?.trustDomain !== trustDomain || issuer?.kind !== 'issuing') return undefined;
  const role = roles.find((name) => id.path.startsWith(`/${name}/`));
  if (role === undefined) return undefined;
  return { kind: 'host', certificate: leaf, spiffeId: id.text, role };
}

/** How the audit log names a peer. */
export function callerOf(peer: PeerIdentity): string {
  switch (peer.kind) {
    case 'none':
      return 'anonymous';
    case 'enrolment':
      return `bundle:${peer.certificate.subjectAltNames.uris[0]?.split('/').at(-1) ?? ''}`;
    case 'host':
      return peer.spiffeId;
  }
}

const roles: readonly Role[] = ['authority', 'manager', 'agent', 'service', 'operator'];
