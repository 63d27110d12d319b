import {
  createECDH,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
} from 'node:crypto';
import { KeyExchangeError, type KeyShare } from '../../src/crypto/key-exchange.ts';
import type { HandshakeConfig } from '../../src/tls/config.ts';
import { NamedGroup } from '../../src/tls/registries.ts';

/**
 * Everything a handshake draws from outside, made from a seed: the same calls give the same bytes,
 * key pairs and time. For recorded handshakes; never for anything that is to be secret.
 */
export function seededSources(
  seed: string,
): Pick<HandshakeConfig, 'random' | 'generateKeyShare' | 'now'> {
  let drawn = 0;
  const random = (length: number): Uint8Array => {
    const blocks: Buffer[] = [];
    for (let bytes = 0; bytes < length; bytes += 32) {
      blocks.push(
        createHash('sha256')
          .update(`${seed} ${String(drawn)}`)
          .digest(),
      );
      drawn += 1;
    }
    return Uint8Array.from(Buffer.concat(blocks).subarray(0, length));
  };
  return {
    random,
    generateKeyShare: (group) => fixedKeyShare(group, random),
    now: () => new Date('2026-01-02T03:04:05Z'),
  };
}

function fixedKeyShare(group: NamedGroup, random: (length: number) => Uint8Array): KeyShare {
  switch (group) {
    case NamedGroup.secp256r1:
      return fixedEcdhShare(group, 'prime256v1', random(32));
    case NamedGroup.secp384r1:
      return fixedEcdhShare(group, 'secp384r1', random(48));
    case NamedGroup.x25519:
      return fixedX25519Share(random(32));
  }
}

function fixedEcdhShare(group: NamedGroup, curve: string, scalar: Uint8Array): KeyShare {
  const pair = createECDH(curve);
  // Below the order of either curve whatever the rest says.
  scalar[0] = 0x0f;
  pair.setPrivateKey(scalar);
  return {
    group,
    publicKey: pair.getPublicKey(),
    complete(peerPublicKey) {
      if (peerPublicKey[0] !== 4) throw new KeyExchangeError('point is not uncompressed');
      return refusing(() => pair.computeSecret(peerPublicKey));
    },
  };
}

function fixedX25519Share(scalar: Uint8Array): KeyShare {
  const privateKey = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), scalar]),
    format: 'der',
    type: 'pkcs8',
  });
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const prefix = spki.subarray(0, -32);
  return {
    group: NamedGroup.x25519,
    publicKey: spki.subarray(-32),
    complete(peerPublicKey) {
      return refusing(() => {
        const key = Buffer.concat([prefix, peerPublicKey]);
        const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
        return diffieHellman({ privateKey, publicKey });
      });
    },
  };
}

function refusing(compute: () => Uint8Array): Uint8Array {
  try {
    return compute();
  } catch (cause) {
    throw new KeyExchangeError('public value refused', { cause });
  }
}
