import type { HandshakeView, KeyName, Row } from './peer.ts';
import { suites } from './suites.ts';

/** What came of one square of the matrix. */
export type Outcome =
  | { readonly status: 'passed' }
  | { readonly status: 'failed'; readonly why: string }
  /** The peer cannot do this, or is not installed. */
  | { readonly status: 'skipped'; readonly why: string };

/** One handshake of the matrix. `role` is the peer's. */
export interface Cell extends Row {
  readonly peer: string;
  readonly role: 'client' | 'server';
  readonly resumed: boolean;
  readonly outcome: Outcome;
}

export interface Expected extends Row {
  readonly resumed: boolean;
  /** What the client asked for. */
  readonly serverName: string;
  /** What our side must say about the other; `undefined`: that it showed no certificate. */
  readonly peerIdentity: string | undefined;
  /** What the other must say about us, if it says anything; `undefined`: nothing shown. */
  readonly ourName: string | undefined;
}

/**
 * Compares what both sides say about one handshake with each other and with what it should have
 * been. Answers the first difference, or `undefined`.
 */
export function findDifference(
  ours: HandshakeView,
  theirs: HandshakeView,
  expected: Expected,
): string | undefined {
  const says = (side: string, field: string, value: unknown, wanted: unknown): string =>
    `${side} says ${field} ${String(value)}, expected ${String(wanted)}`;
  if (ours.version !== 'TLSv1.2') return says('our side', 'version', ours.version, 'TLSv1.2');
  const suite = suites.find(({ iana }) => iana === ours.suite);
  if (suite?.authentication !== authenticationOf(expected.key)) {
    return says('our side', 'suite', ours.suite, `one for ${expected.key} keys`);
  }
  if (ours.resumed !== expected.resumed) {
    return says('our side', 'resumed', ours.resumed, expected.resumed);
  }
  if ((ours.peer ?? 'none') !== (expected.peerIdentity ?? 'none')) {
    return says('our side', 'peer', ours.peer ?? 'none', expected.peerIdentity ?? 'none');
  }
  const asked = ours.serverName ?? theirs.serverName ?? expected.serverName;
  if (asked !== expected.serverName) {
    return says('the server', 'SNI', asked, expected.serverName);
  }
  for (const field of ['version', 'suite', 'resumed', 'alpn'] as const) {
    if (theirs[field] !== undefined && theirs[field] !== (ours[field] ?? 'none')) {
      return says('the peer', field, theirs[field], ours[field] ?? 'none');
    }
  }
  if (theirs.peer !== undefined && !theirs.peer.includes(expected.ourName ?? 'none')) {
    return says('the peer', 'our certificate', theirs.peer, expected.ourName ?? 'none');
  }
  return undefined;
}

/** RFC 8422 §5.10: Ed25519 keys use the ECDSA suites. */
function authenticationOf(key: KeyName): 'ECDSA' | 'RSA' {
  return key === 'rsa' ? 'RSA' : 'ECDSA';
}
