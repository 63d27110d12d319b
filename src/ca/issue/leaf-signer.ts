import { toHex } from '../../bytes/bytes.ts';
import type { KeyKind } from '../../crypto/keys.ts';
import {
  type CertificateMold,
  createCertificateMold,
  type Distribution,
  encodeDistribution,
  joinSignature,
} from '../../pki/index.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import { ServiceError } from '../../rpc/errors.ts';
import type { Generations, SigningGeneration } from '../generations/generation.ts';
import type { RequestedKey } from '../keys/crypto-protocol.ts';
import { KeyManagerError } from '../keys/key-manager.ts';
import type { CertificatePurpose } from '../store/schema.ts';

/** A leaf certificate as it is to be. */
export interface Leaf {
  readonly serial: Uint8Array;
  readonly purpose: CertificatePurpose;
  readonly key: Pick<RequestedKey, 'publicKeyInfo' | 'keyIdentifier' | 'kind'>;
  /** ms since 1970, whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Its name, `spiffe://…`. */
  readonly uri: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses?: readonly Uint8Array[];
}

/** Signs leaf certificates, many at once. */
export interface LeafSigner {
  /** Who would sign now. Throws `ServiceError` (`UNAVAILABLE`) if nobody can. */
  issuer(purpose: CertificatePurpose): SigningGeneration;
  /** DER of each, in order. Rejects with `KeyManagerError`. */
  sign(issuer: SigningGeneration, leaves: readonly Leaf[]): Promise<readonly Uint8Array[]>;
}

/** `distributionOf` says where the state of an issuer's certificates can be asked for. */
export function createLeafSigner(
  generations: Generations,
  distributionOf: (issuer: SigningGeneration) => Distribution | undefined,
): LeafSigner {
  const molds = new Map<string, CertificateMold>();
  const moldOf = (issuer: SigningGeneration, leaf: Leaf): CertificateMold => {
    const usage = usageOf(leaf.purpose, leaf.key.kind);
    const name = `${toHex(issuer.id)}/${leaf.purpose}/${usage.join(',')}`;
    const known = molds.get(name);
    if (known !== undefined) return known;
    // There are only so many kinds; those of former issuers are of no more use.
    if (molds.size >= MAX_MOLDS) molds.clear();
    const distribution = leaf.purpose === 'enrolment' ? undefined : distributionOf(issuer);
    const mold = createCertificateMold({
      issuer: issuer.certificate,
      signatureScheme: defaultScheme(issuer.key.type),
      keyUsage: usage,
      extendedKeyUsage: extendedUsages[leaf.purpose],
      extensions: encodeDistribution(distribution ?? {}),
    });
    molds.set(name, mold);
    return mold;
  };
  return {
    issuer: (purpose) => generations.signing(purpose === 'enrolment' ? 'enrolment' : 'issuing'),
    async sign(issuer, leaves) {
      const scheme = defaultScheme(issuer.key.type);
      const contents = leaves.map((leaf) =>
        moldOf(
          issuer,
          leaf,
        )({
          serialNumber: leaf.serial,
          notBefore: new Date(leaf.notBefore),
          notAfter: new Date(leaf.notAfter),
          publicKeyInfo: leaf.key.publicKeyInfo,
          keyIdentifier: leaf.key.keyIdentifier,
          subjectAltNames: {
            uris: [leaf.uri],
            dnsNames: leaf.dnsNames,
            ipAddresses: leaf.ipAddresses ?? [],
          },
        }),
      );
      const signatures = await issuer.key.signAll(contents);
      return contents.map((content, index) => {
        const signature = signatures[index];
        if (signature === undefined) throw new KeyManagerError('a signature is missing');
        return joinSignature(content, scheme, signature);
      });
    },
  };
}

/** From when to when a leaf can be good: begins before now for clocks behind, ends before its issuer. */
export function leafValidity(
  issuer: SigningGeneration,
  now: number,
  lifetimeSeconds: number,
): { readonly notBefore: number; readonly notAfter: number } {
  const { certificate } = issuer;
  const notBefore = Math.max(now - BACKDATE_MS, certificate.notBefore.getTime());
  const latest = certificate.notAfter.getTime() - MARGIN_MS;
  const notAfter = Math.min(now + lifetimeSeconds * 1000, latest);
  if (notAfter < now + 1000) {
    throw new ServiceError(
      'UNAVAILABLE',
      'issuer_ending',
      `the ${issuer.kind} CA ends before anything it could sign now`,
    );
  }
  return { notBefore: wholeSeconds(notBefore), notAfter: wholeSeconds(notAfter) };
}

/** RFC 5280 §4.2.1.3: RSA transports keys, curves agree on them. */
function usageOf(purpose: CertificatePurpose, kind: KeyKind) {
  if (purpose !== 'decryption') return ['digitalSignature'] as const;
  return kind === 'rsa' || kind === 'rsa-pss'
    ? (['keyEncipherment'] as const)
    : (['keyAgreement'] as const);
}

function wholeSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}

const extendedUsages: Readonly<Record<CertificatePurpose, readonly string[]>> = {
  tls: ['serverAuth', 'clientAuth'],
  authority: ['serverAuth', 'clientAuth'],
  decryption: ['emailProtection'],
  enrolment: ['clientAuth'],
};

const MAX_MOLDS = 64;
const BACKDATE_MS = 5 * 60_000;
/** What an issuer still has when its last leaf ends. */
const MARGIN_MS = 60_000;
