import type { RevocationIndex } from '../../ca/revocation/revocation-index.ts';
import { storedSerial } from '../../ca/revocation/serial.ts';
import type { TrustFeed } from '../../ca/trust/trust-feed.ts';
import type { LivePeers, RevokedPeer } from '../../offload/live-peers.ts';
import { type Certificate, parseSpiffeId, spiffeIdOf } from '../../pki/index.ts';

/** Answers, from memory, whether a certificate or its holder was revoked. */
export function revocationCheck(revocations: RevocationIndex): (leaf: Certificate) => boolean {
  return (leaf) => {
    const serial = storedSerial(leaf.serialNumber);
    if (serial !== undefined && revocations.certificate(serial) !== undefined) return true;
    const agent = agentOf(leaf);
    return agent !== undefined && revocations.agent(agent) !== undefined;
  };
}

/**
 * Ends connections to this authority whose host was revoked. A little later than others learn of it:
 * the host is told on this very connection, and may not be served anything else on it.
 */
export function endRevoked(feed: TrustFeed, livePeers: LivePeers): () => void {
  return feed.onBatch(({ items }) => {
    const peers = items.flatMap(({ type, subject, payload }): readonly RevokedPeer[] => {
      const reason = String(payload['reason'] ?? '');
      switch (type) {
        case 'certificate_revoked':
          return [{ serial: significant(subject), issuer: none, spiffeId: '', reason }];
        case 'agent_revoked': {
          const spiffeId = String(payload['spiffeId'] ?? '');
          return spiffeId === '' ? [] : [{ serial: none, issuer: none, spiffeId, reason }];
        }
        default:
          return [];
      }
    });
    if (peers.length > 0) setTimeout(() => livePeers.revoke(peers), farewellMs).unref();
  });
}

/** The UUID at the end of a host's SPIFFE ID. */
function agentOf(leaf: Certificate): Uint8Array | undefined {
  const text = spiffeIdOf(leaf);
  const last = text === undefined ? undefined : parseSpiffeId(text)?.path.split('/').at(-1);
  const hex = last?.replaceAll('-', '');
  return hex !== undefined && /^[0-9a-f]{32}$/u.test(hex) ? Buffer.from(hex, 'hex') : undefined;
}

function significant(serial: Uint8Array): Uint8Array {
  let start = 0;
  while (start < serial.length - 1 && serial[start] === 0) start += 1;
  return serial.subarray(start);
}

const none = new Uint8Array();
const farewellMs = 1000;
