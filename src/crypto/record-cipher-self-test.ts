import { equal } from '../bytes/bytes.ts';
import { aeadKeyBytes, aeadTagBytes, explicitNonceBytesOf } from './aead.ts';
import type {
  RecordCipherParameters,
  RecordCipherProvider,
  RecordSealCipher,
} from './record-cipher.ts';

/**
 * Throws unless `tested` seals exactly what `reference` seals, opens it again, and refuses it with
 * one bit changed; for every AEAD, several lengths, and numbers that carry.
 */
export function requireSameRecords(
  tested: RecordCipherProvider,
  reference: RecordCipherProvider,
): void {
  for (const aead of ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'] as const) {
    const parameters: RecordCipherParameters = {
      aead,
      key: Uint8Array.from({ length: aeadKeyBytes[aead] }, (_, index) => index),
      fixedNonce: new Uint8Array(12 - explicitNonceBytesOf(aead)).fill(0xa5),
      sequenceNumber: 0x1fffffffen,
    };
    const sealer = tested.createSealCipher(parameters);
    const opener = tested.createOpenCipher(parameters);
    const expected = reference.createSealCipher(parameters);
    for (const length of [5, 0, 1000, 16_384]) {
      const forger = tested.createOpenCipher({
        ...parameters,
        sequenceNumber: opener.sequenceNumber,
      });
      const plaintext = new Uint8Array(length).fill(length & 0xff);
      const body = sealed(sealer, plaintext);
      if (!equal(body, sealed(expected, plaintext))) {
        throw new Error(`${aead}: sealed record differs from node:crypto`);
      }
      const forged = Uint8Array.from(body);
      forged.set([(forged.at(-1) ?? 0) ^ 1], forged.length - 1);
      if (forger.open(23, forged) !== undefined) throw new Error(`${aead}: opened a forged record`);
      const opened = opener.open(23, body);
      if (opened === undefined || !equal(opened, plaintext)) {
        throw new Error(`${aead}: cannot open what was sealed`);
      }
      forger.free();
    }
    sealer.free();
    opener.free();
    expected.free();
  }
}

function sealed(cipher: RecordSealCipher, plaintext: Uint8Array): Uint8Array {
  const body = new Uint8Array(cipher.explicitNonceBytes + plaintext.length + aeadTagBytes);
  cipher.seal(23, plaintext, body);
  return body;
}
