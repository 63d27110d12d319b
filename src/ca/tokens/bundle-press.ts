import { ServiceError } from '../../rpc/errors.ts';
import { type BundleMaker, bundleSignedPart, createBundleMaker } from '../bundle/bundle.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import type { SigningKey } from '../keys/key-manager.ts';
import type { Role } from '../store/schema.ts';
import { currentBundle, readBundle } from '../trust/bundle-document.ts';
import type { EnrolmentCredential } from './enrolment-credential.ts';
import { propertiesDigest, type Properties, canonicalProperties } from './properties.ts';
import { encodeTokenPayload, signedPart, tokenText } from './token.ts';
import type { TokenKey } from './token-keys.ts';

/** What tokens that are minted together have in common. */
export interface TokenPattern {
  readonly kind: 'enroll' | 'recover';
  readonly role: Role;
  readonly properties: Properties;
  readonly expiresAt: number;
}

/** A token in its bundle. The file holds a private key: who takes it wipes it. */
export interface BundledToken {
  readonly tokenId: Uint8Array;
  readonly file: Uint8Array;
}

/** Puts tokens into bundles, all with the same credential. */
export interface BundlePress {
  press(ids: readonly Uint8Array[]): Promise<readonly BundledToken[]>;
  close(): void;
}

/** `key` signs both the tokens and their bundles. */
export async function createBundlePress(
  context: IssuingContext,
  pattern: TokenPattern,
  credential: EnrolmentCredential,
  { key, signer }: { readonly key: TokenKey; readonly signer: SigningKey },
): Promise<BundlePress> {
  const stored = await currentBundle(context.store.queries);
  if (stored === undefined) {
    throw new ServiceError('FAILED_PRECONDITION', 'bundle_missing', 'there is no trust bundle yet');
  }
  const { roots, epoch, sequence } = readBundle(stored.document);
  const maker = createBundleMaker({
    addresses: context.addresses,
    trustDomain: context.trustDomain,
    role: pattern.role,
    properties: pattern.properties,
    roots,
    bundleSequence: sequence,
    epoch,
    options: {},
    notAfter: Math.min(pattern.expiresAt, credential.notAfter),
    credential,
    key: { id: key.id, publicKey: key.publicKeyInfo },
  });
  const digest = propertiesDigest(canonicalProperties(pattern.properties));
  return {
    press: (ids) => press(ids, { pattern, digest, maker, keyId: key.id, signer }),
    close: () => {
      maker.close();
    },
  };
}

async function press(
  ids: readonly Uint8Array[],
  options: {
    readonly pattern: TokenPattern;
    readonly digest: Uint8Array;
    readonly maker: BundleMaker;
    readonly keyId: Uint8Array;
    readonly signer: SigningKey;
  },
): Promise<readonly BundledToken[]> {
  const { pattern, digest, maker, keyId, signer } = options;
  const { kind, role, expiresAt } = pattern;
  const payloads = ids.map((id) =>
    encodeTokenPayload({ keyId, id, kind, expiresAt, role, propertiesDigest: digest }),
  );
  const signatures = await signer.signAll(payloads.map(signedPart));
  const documents = payloads.map((payload, index) =>
    maker.document(tokenText(payload, signatures[index] ?? nothing)),
  );
  const seals = await signer.signAll(documents.map(bundleSignedPart));
  return ids.map((tokenId, index) => ({
    tokenId,
    file: maker.file(documents[index] ?? nothing, seals[index] ?? nothing),
  }));
}

const nothing = new Uint8Array();
