import type { KeyObject } from 'node:crypto';
import { hash } from '../../../src/crypto/hash.ts';
import type { KeyKind } from '../../../src/crypto/keys.ts';
import {
  CmsError,
  type CmsReason,
  digestOfScheme,
  encodeSignedAttributes,
  encodeSignerInfo,
  signingScheme,
} from '../../../src/pki/cms/index.ts';
import { type Certificate, parseCertificate } from '../../../src/pki/index.ts';
import { signIssued } from '../../../src/pki/signature-algorithm.ts';
import type { IssuedIdentity, TestCa } from '../../support/test-ca.ts';

/** Somebody who can sign, or be written to. */
export interface Party extends IssuedIdentity {
  readonly certificate: Certificate;
}

/** A signer. */
export function signerOf(ca: TestCa, keyKind: KeyKind = 'ecdsa-p256', name = 'signer'): Party {
  return party(ca.issue({ keyKind, uris: [`spiffe://test/manager/${name}`] }));
}

/** A recipient, with the usages the authority gives. */
export function recipientOf(ca: TestCa, keyKind: 'ecdsa-p256' | 'rsa', name = 'agent'): Party {
  const keyUsage = [keyKind === 'rsa' ? 'keyEncipherment' : 'keyAgreement'] as const;
  const uris = [`spiffe://test/agent/${name}`];
  return party(ca.issue({ keyKind, uris, keyUsage, eku: ['emailProtection'] }));
}

export function party(issued: IssuedIdentity): Party {
  return { ...issued, certificate: parseCertificate(issued.chain[0]!) };
}

/** A `SignerInfo` over content. */
export function signerInfoOf(
  { certificate, privateKey }: { certificate: Certificate; privateKey: KeyObject },
  contentType: string,
  content: Uint8Array,
  others: ReadonlyMap<string, Uint8Array> = new Map(),
): Uint8Array {
  const scheme = signingScheme(certificate.keyKind!);
  const signedAttributes = encodeSignedAttributes({
    contentType,
    messageDigest: hash(digestOfScheme(scheme)!, content),
    signingTime: new Date(),
    others,
  });
  const signature = signIssued(privateKey, scheme, signedAttributes);
  return encodeSignerInfo({ certificate, signedAttributes, scheme, signature });
}

/** Why CMS was refused; `undefined`: it was not. Anything but a `CmsError` is thrown on. */
export function refusal(work: () => unknown): CmsReason | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof CmsError) return error.reason;
    throw error;
  }
}
