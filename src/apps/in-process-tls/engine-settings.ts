import { generateKeyShare } from '../../crypto/key-exchange.ts';
import { randomBytes } from '../../crypto/random.ts';
import { signatureSchemes } from '../../sidecar/index.ts';
import { cipherSuites, type HandshakeConfig, NamedGroup } from '../../tls/index.ts';

/** How this program speaks to itself: both ends are ours, so nothing has to be negotiable. */
export function engineSettings(now: () => Date): HandshakeConfig {
  return {
    random: randomBytes,
    generateKeyShare,
    now,
    cipherSuites,
    // Not P-384, which blocks everything else for milliseconds.
    namedGroups: [NamedGroup.secp256r1, NamedGroup.x25519],
    signatureSchemes,
    applicationProtocols: ['h2'],
    requireExtendedMasterSecret: true,
    exporters: [],
  };
}

/** Bytes a connection buffers in each direction before it slows down whoever writes. */
export const highWaterMark = 65_536;
