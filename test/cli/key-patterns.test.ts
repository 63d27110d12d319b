import { expect } from 'chai';
import { keyPatterns } from '../../src/cli/demo/key-patterns.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { exportPkcs8Pem } from '../../src/pki/index.ts';

describe('forms of a private key the demo searches for', () => {
  it('are the scalar both ways round, and parts of the key file that are secret', () => {
    const { privateKey } = generateKeyPair('ecdsa-p256');
    const [scalar, reversed, der, pem] = keyPatterns('k', privateKey).map(({ bytes }) => bytes);
    const d = derScalar(der!);
    expect(scalar!.toString('hex')).to.equal(d);
    expect(Buffer.from(reversed!).reverse().toString('hex')).to.equal(d);
    expect(Buffer.from(exportPkcs8Pem(privateKey)).includes(pem!.toString())).to.equal(true);
    expect(pem).to.have.length(64);
  });

  it('differ wholly between keys: none is a common header', () => {
    const first = keyPatterns('k', generateKeyPair('ecdsa-p256').privateKey);
    const second = keyPatterns('k', generateKeyPair('ecdsa-p256').privateKey);
    first.forEach(({ bytes }, index) => {
      expect(bytes.equals(second[index]!.bytes)).to.equal(false);
    });
  });

  it('exist for P-256 only', () => {
    expect(() => keyPatterns('k', generateKeyPair('ecdsa-p384').privateKey)).to.throw(TypeError);
  });
});

/** ECPrivateKey within PKCS #8 (RFC 5915 §3): the octet string of 32 bytes behind version 1. */
function derScalar(pkcs8: Buffer): string {
  const at = pkcs8.indexOf(Buffer.from([2, 1, 1, 4, 32]));
  return pkcs8.subarray(at + 5, at + 37).toString('hex');
}
