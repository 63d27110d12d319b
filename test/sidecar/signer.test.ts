import { expect } from 'chai';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { verifySignature } from '../../src/crypto/signatures.ts';
import { Signer } from '../../src/sidecar/signer.ts';

describe('Signer', () => {
  const content = Buffer.from('to be signed');
  const cases: { kind: KeyKind; scheme: number; isSlow: boolean }[] = [
    { kind: 'ecdsa-p256', scheme: 0x0403, isSlow: false },
    { kind: 'ed25519', scheme: 0x0807, isSlow: false },
    { kind: 'ecdsa-p384', scheme: 0x0503, isSlow: true },
    { kind: 'rsa', scheme: 0x0804, isSlow: true },
  ];
  for (const { kind, scheme, isSlow } of cases) {
    it(`signs with ${kind} ${isSlow ? 'beside the event loop' : 'at once'}`, async () => {
      const { privateKey, publicKey } = generateKeyPair(kind);
      const made = new Signer(1).sign(privateKey, scheme, content);
      expect(made instanceof Promise).to.equal(isSlow);
      expect(verifySignature(publicKey, scheme, content, await made)).to.equal(true);
    });
  }

  it('makes slow signatures in turn, and gives each place back, also after a failure', async () => {
    const signer = new Signer(1);
    const { privateKey, publicKey } = generateKeyPair('ecdsa-p384');
    const ended: number[] = [];
    const sign = async (scheme: number, number: number): Promise<Uint8Array | undefined> => {
      try {
        return await signer.sign(privateKey, scheme, content);
      } catch (error) {
        if (error instanceof Error) return undefined;
        throw error;
      } finally {
        ended.push(number);
      }
    };
    // The second asks for a scheme the key cannot have.
    const signatures = await Promise.all([sign(0x0503, 1), sign(0x0807, 2), sign(0x0503, 3)]);
    expect(ended).to.deep.equal([1, 2, 3]);
    expect(signatures[1]).to.equal(undefined);
    for (const signature of [signatures[0], signatures[2]]) {
      expect(verifySignature(publicKey, 0x0503, content, signature!)).to.equal(true);
    }
  });
});
