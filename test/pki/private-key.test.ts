import { expect } from 'chai';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { exportPkcs8Pem, loadPrivateKey } from '../../src/pki/private-key.ts';

const vector = (name: string) => readFileSync(new URL(`../vectors/keys/${name}`, import.meta.url));

describe('loadPrivateKey (RFC 5958, RFC 5915, RFC 8017)', () => {
  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] as const) {
    it(`loads what exportPkcs8Pem writes of a ${kind} key, and so does node`, () => {
      const { privateKey } = generateKeyPair(kind);
      const pem = exportPkcs8Pem(privateKey);
      expect(loadPrivateKey(pem).equals(privateKey)).to.be.true;
      expect(createPrivateKey(Buffer.from(pem)).equals(privateKey)).to.be.true;
    });
  }

  for (const name of ['sec1-with-parameters.pem', 'pkcs1.pem']) {
    it(`loads ${name}`, () => {
      const pem = vector(name);
      expect(loadPrivateKey(pem).equals(createPrivateKey(pem))).to.be.true;
    });
  }

  const refused: { name: string; pem: Uint8Array; reason: string }[] = [
    { name: 'an encrypted key', pem: vector('encrypted.pem'), reason: 'encrypted_private_key' },
    {
      name: 'a key encrypted the old way',
      pem: vector('encrypted-traditional.pem'),
      reason: 'malformed_pem',
    },
    { name: 'a P-521 key', pem: vector('p521.pem'), reason: 'unsupported_private_key' },
    { name: 'an X25519 key', pem: vector('x25519.pem'), reason: 'unsupported_private_key' },
    { name: 'RSA of 1024 bits', pem: vector('rsa-1024.pem'), reason: 'unsupported_private_key' },
    {
      name: 'RSA with exponent 3',
      pem: vector('rsa-exponent-3.pem'),
      reason: 'unsupported_private_key',
    },
    { name: 'no key', pem: Buffer.from(''), reason: 'no_private_key' },
    {
      name: 'two keys',
      pem: Buffer.concat([vector('pkcs1.pem'), vector('sec1-with-parameters.pem')]),
      reason: 'several_private_keys',
    },
    {
      name: 'something else in the block',
      pem: Buffer.from('-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n'),
      reason: 'malformed_private_key',
    },
  ];
  for (const { name, pem, reason } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => loadPrivateKey(pem))
        .to.throw(CertificateError)
        .with.property('reason', reason);
    });
  }

  it('leaves the input to its caller', () => {
    const pem = vector('pkcs1.pem');
    const before = Buffer.from(pem);
    loadPrivateKey(pem);
    expect(pem.equals(before)).to.be.true;
  });
});
