import { verifySignature } from '../../crypto/signatures.ts';
import { type Certificate, encodeName, parseCertificate } from '../../pki/index.ts';
import {
  type CertificateContent,
  encodeToBeSigned,
  joinSignature,
} from '../../pki/issue-certificate.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import { KeyManagerError, type SigningKey } from '../keys/key-manager.ts';
import type { CaKind } from '../store/schema.ts';

/** How long CAs live, unless said otherwise. */
export const defaultCaLifetimesMs: Readonly<Record<CaKind, number>> = {
  root: 10 * 365 * 86_400_000,
  issuing: 365 * 86_400_000,
  enrolment: 365 * 86_400_000,
};

/** Who certifies a CA: another one, or itself. */
export interface CaSigner {
  /** Absent: the certificate is its own issuer. */
  readonly certificate?: Certificate;
  readonly key: SigningKey;
}

/** What the certificate of a CA generation is to say. */
export interface CaCertificateOptions {
  readonly kind: CaKind;
  readonly number: number;
  readonly trustDomain: string;
  readonly key: SigningKey;
  readonly signer: CaSigner;
  readonly serialNumber: Uint8Array;
  readonly notBefore: Date;
  /** Cut down to the end of the signer. */
  readonly notAfter: Date;
}

/**
 * Makes the certificate of a CA generation. Issuing CAs are bound to SPIFFE IDs of the trust domain;
 * neither they nor enrolment CAs may have a CA below them. The signature is verified, so that a key
 * manager that signs with another key is found out here.
 *
 * Rejects with {@link KeyManagerError}.
 */
export async function makeCaCertificate(options: CaCertificateOptions): Promise<Certificate> {
  const { kind, number, trustDomain, key } = options;
  return await certify(
    {
      ...validity(options, options.signer.certificate),
      subject: encodeName({
        // RFC 5280 appendix A: ub-organization-name.
        organization: trustDomain.slice(0, 64),
        commonName: `${kind} CA ${String(number)}`,
      }),
      publicKey: key.publicKey,
      serialNumber: options.serialNumber,
      isCa: true,
      ...(kind === 'root' ? {} : { pathLength: 0 }),
      ...(kind === 'issuing' ? { nameConstraints: { permitted: { uris: [trustDomain] } } } : {}),
    },
    options.signer,
  );
}

/**
 * Certifies the key and name of one root by another
 * ({@link https://www.rfc-editor.org/rfc/rfc4210#section-4.4 | RFC 4210 §4.4}): who trusts only the
 * signer follows to the subject. It lasts as long as both do.
 */
export async function crossCertify(
  subject: Certificate,
  signer: Required<CaSigner>,
  serialNumber: Uint8Array,
): Promise<Certificate> {
  const begin = Math.max(subject.notBefore.getTime(), signer.certificate.notBefore.getTime());
  return await certify(
    {
      ...validity({ notBefore: new Date(begin), notAfter: subject.notAfter }, signer.certificate),
      subject: subject.subject,
      publicKey: subject.publicKey,
      serialNumber,
      isCa: true,
    },
    signer,
  );
}

async function certify(content: CertificateContent, signer: CaSigner): Promise<Certificate> {
  const scheme = defaultScheme(signer.key.type);
  const toBeSigned = encodeToBeSigned(content, signer.certificate, scheme);
  const [signature] = await signer.key.signAll([toBeSigned]);
  const publicKey = signer.certificate?.publicKey ?? content.publicKey;
  if (signature === undefined || !verifySignature(publicKey, scheme, toBeSigned, signature)) {
    throw new KeyManagerError('the key manager signs with another key than it was asked for');
  }
  return parseCertificate(joinSignature(toBeSigned, scheme, signature));
}

function validity(
  { notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date },
  signer: Certificate | undefined,
) {
  const end = Math.min(notAfter.getTime(), signer?.notAfter.getTime() ?? Infinity);
  return { notBefore, notAfter: new Date(end) };
}
