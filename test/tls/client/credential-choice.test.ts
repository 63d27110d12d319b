import { expect } from 'chai';
import { chooseCredential } from '../../../src/tls/client/credential-choice.ts';
import { SignatureScheme } from '../../../src/tls/registries.ts';
import { testIdentity } from '../../support/engine-driver.ts';

const issuer = Buffer.from('300c310a300806035504030c0141', 'hex');
const otherIssuer = Buffer.from('300c310a300806035504030c0142', 'hex');
const {
  ecdsa_secp256r1_sha256,
  ecdsa_secp384r1_sha384,
  ed25519,
  rsa_pkcs1_sha256,
  rsa_pss_rsae_sha256,
  rsa_pss_rsae_sha512,
  rsa_pss_pss_sha256,
} = SignatureScheme;

const p256 = testIdentity('ecdsa-p256', { issuerNames: [otherIssuer, issuer] }).credential;
const edwards = testIdentity('ed25519').credential;
const rsa = testIdentity('rsa').credential;
const smallRsa = testIdentity('rsa', { rsaModulusBytes: 128 }).credential;
const pss = testIdentity('rsa-pss').credential;
const sha384Chain = testIdentity('ecdsa-p256', {
  chainSchemes: [ecdsa_secp384r1_sha384],
}).credential;

/** Of its schemes, only the last two fit the key. */
const restricted = {
  ...rsa,
  signatureSchemes: [ed25519, rsa_pkcs1_sha256, rsa_pss_rsae_sha256],
};

const request = {
  certificateTypes: [64, 1],
  signatureAlgorithms: Object.values(SignatureScheme) as number[],
  certificateAuthorities: [] as Uint8Array[],
};

describe('choice of a client credential (RFC 5246 §7.4.4, §7.4.6, RFC 8422 §5.5)', () => {
  for (const { name, credentials, asked, chosen, scheme } of [
    {
      name: 'the first that fits',
      credentials: [p256, rsa],
      asked: {},
      chosen: p256,
      scheme: ecdsa_secp256r1_sha256,
    },
    { name: 'none of none', credentials: [], asked: {}, chosen: undefined },
    {
      name: 'RSA when only rsa_sign is accepted',
      credentials: [p256, edwards, rsa],
      asked: { certificateTypes: [1] },
      chosen: rsa,
      scheme: rsa_pss_rsae_sha256,
    },
    {
      name: 'Ed25519 under ecdsa_sign',
      credentials: [rsa, edwards],
      asked: { certificateTypes: [64] },
      chosen: edwards,
      scheme: ed25519,
    },
    {
      name: 'none when only unknown types are accepted',
      credentials: [p256, rsa],
      asked: { certificateTypes: [2, 3, 99] },
      chosen: undefined,
    },
    {
      name: 'one that can sign under a scheme listed',
      credentials: [p256, rsa],
      asked: { signatureAlgorithms: [0x0201, rsa_pkcs1_sha256] },
      chosen: rsa,
      scheme: rsa_pkcs1_sha256,
    },
    {
      name: 'PSS rather than PKCS #1',
      credentials: [rsa],
      asked: { signatureAlgorithms: [rsa_pkcs1_sha256, rsa_pss_rsae_sha512] },
      chosen: rsa,
      scheme: rsa_pss_rsae_sha512,
    },
    {
      name: 'a scheme the modulus has room for',
      credentials: [smallRsa],
      asked: { signatureAlgorithms: [rsa_pss_rsae_sha512, rsa_pkcs1_sha256] },
      chosen: smallRsa,
      scheme: rsa_pkcs1_sha256,
    },
    {
      name: 'the PSS scheme of a PSS key',
      credentials: [pss],
      asked: {},
      chosen: pss,
      scheme: rsa_pss_pss_sha256,
    },
    {
      name: 'none when SHA-1 is all there is',
      credentials: [p256, rsa],
      asked: { signatureAlgorithms: [0x0203, 0x0201] },
      chosen: undefined,
    },
    {
      name: 'one whose chain is signed as listed',
      credentials: [sha384Chain, rsa],
      asked: { signatureAlgorithms: [ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256] },
      chosen: rsa,
      scheme: rsa_pss_rsae_sha256,
    },
    {
      name: 'one whose chain is not signed as listed rather than none',
      credentials: [sha384Chain],
      asked: { signatureAlgorithms: [ecdsa_secp256r1_sha256] },
      chosen: sha384Chain,
      scheme: ecdsa_secp256r1_sha256,
    },
    {
      name: 'one whose own schemes include one listed',
      credentials: [{ ...p256, signatureSchemes: [ecdsa_secp384r1_sha384] }, rsa],
      asked: { signatureAlgorithms: [ecdsa_secp256r1_sha256, rsa_pkcs1_sha256] },
      chosen: rsa,
      scheme: rsa_pkcs1_sha256,
    },
    {
      name: 'a credential and the scheme it likes best',
      credentials: [restricted],
      asked: {},
      chosen: restricted,
      scheme: rsa_pkcs1_sha256,
    },
    {
      name: 'one with an issuer among the authorities',
      credentials: [rsa, p256],
      asked: { certificateAuthorities: [issuer] },
      chosen: p256,
      scheme: ecdsa_secp256r1_sha256,
    },
    {
      name: 'none when no issuer is among the authorities',
      credentials: [rsa, p256],
      asked: { certificateAuthorities: [issuer.subarray(0, 13)] },
      chosen: undefined,
    },
  ]) {
    it(`is ${name}`, () => {
      const choice = chooseCredential(credentials, { ...request, ...asked });
      expect(choice?.credential).to.equal(chosen);
      expect(choice?.scheme).to.equal(scheme);
    });
  }
});
