import { createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { KeyExchangeError } from './key-exchange.ts';

/**
 * The secret that a long-term P-256 key shares with a public point (SEC 1 §3.3.1): 32 bytes, leading
 * zeros kept, in memory the caller owns and wipes. Throws {@link KeyExchangeError} for a point that is
 * not in uncompressed form or not on the curve, so that no invalid point tells anything about the key.
 */
export function agreeOnP256(privateKey: KeyObject, point: Uint8Array): Uint8Array {
  if (point.length !== 65 || point[0] !== 4) {
    throw new KeyExchangeError('point is not an uncompressed one of P-256');
  }
  try {
    const publicKey = createPublicKey({
      key: {
        kty: 'EC',
        crv: 'P-256',
        x: Buffer.from(point.subarray(1, 33)).toString('base64url'),
        y: Buffer.from(point.subarray(33)).toString('base64url'),
      },
      format: 'jwk',
    });
    return diffieHellman({ privateKey, publicKey });
  } catch {
    throw new KeyExchangeError('point is not on the curve, or the key is of another one');
  }
}
