import { equal, toHex } from '../../bytes/bytes.ts';
import { verifySignature } from '../../crypto/signatures.ts';
import { type Certificate, keyIdentifier, parseCertificate } from '../../pki/index.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { crashPoint } from '../crash-points.ts';
import type { SigningKey } from '../keys/key-manager.ts';
import type { Transaction } from '../store/transaction.ts';
import {
  currentBundle,
  encodeBundle,
  encodeBundleContent,
  readBundle,
  signedBundleBytes,
} from './bundle-document.ts';

/** What a new version of the trust bundle is made of. */
export interface BundleMaterial {
  readonly trustDomain: string;
  readonly epoch: string;
  readonly roots: readonly Certificate[];
  /** DER: issuing CAs, and roots certified by other roots. */
  readonly intermediates: readonly Uint8Array[];
  /** host:port of the authority. */
  readonly addresses: readonly string[];
  /** Keys of every root in it, and of every root of the version before. */
  readonly signers: readonly BundleSigner[];
  /** Roots of the version before whose keys are no more: hosts that know nothing newer are lost. */
  readonly withoutSignatureOf?: readonly Certificate[];
  /** For the audit log. */
  readonly by: string;
}

export interface BundleSigner {
  readonly certificate: Certificate;
  readonly key: SigningKey;
}

/**
 * Appends a version to the trust bundle and tells the feed of it. Signed by each of its roots and
 * each root of the version before, so that a host that knows any of them can follow; signatures are
 * verified before they are let out, since a wrong one would cut hosts off. Answers its number.
 *
 * Rejects with `ServiceError` (`FAILED_PRECONDITION`): `bundle_empty`, `bundle_signer_missing`,
 * `bundle_signer_wrong`.
 */
export async function publishBundle(
  transaction: Transaction,
  material: BundleMaterial,
): Promise<number> {
  if (material.roots.length === 0) throw refused('bundle_empty', 'a trust bundle without a root');
  const previous = await currentBundle(transaction.queries);
  const before =
    previous === undefined ? [] : readBundle(previous.document).roots.map(parseCertificate);
  const signers = requiredSigners(material, before, transaction.now);
  const sequence = await transaction.next('bundle');
  const content = encodeBundleContent({
    trustDomain: material.trustDomain,
    sequence,
    epoch: material.epoch,
    roots: material.roots.map(({ der }) => der),
    intermediates: material.intermediates,
    addresses: material.addresses,
    createdAt: new Date(transaction.now),
  });
  const signatures = await Promise.all(signers.map((signer) => signBundle(signer, content)));
  await transaction.queries
    .insertInto('bundle')
    .values({
      seq: sequence,
      document: encodeBundle(content, signatures),
      created_at: transaction.now,
    })
    .execute();
  crashPoint('bundle.after_insert');
  await transaction.publish({ type: 'bundle', subject: bundleSubject(sequence) });
  transaction.audit({
    actor: material.by,
    action: 'bundle.publish',
    subject: String(sequence),
    outcome: 'done',
    details: {
      roots: material.roots.map(({ fingerprint }) => toHex(fingerprint)),
      signed_by: signers.map(({ certificate }) => toHex(rootKeyIdentifier(certificate))),
    },
  });
  return sequence;
}

/** A root as signatures on bundles name it: the subject key identifier. */
export function rootKeyIdentifier(root: Certificate): Uint8Array {
  return root.subjectKeyId ?? keyIdentifier(root.publicKeyInfo);
}

function requiredSigners(
  material: BundleMaterial,
  before: readonly Certificate[],
  now: number,
): readonly BundleSigner[] {
  const { roots, signers, withoutSignatureOf = [] } = material;
  // A host that knows nothing newer than an expired root has to enrol anew anyway.
  const former = before.filter(
    (root) =>
      !includes(roots, root) &&
      !includes(withoutSignatureOf, root) &&
      root.notAfter.getTime() > now,
  );
  return [...roots, ...former].map((root) => {
    const signer = signers.find(({ certificate }) => equal(certificate.der, root.der));
    if (signer !== undefined) return signer;
    const name = toHex(rootKeyIdentifier(root));
    throw refused('bundle_signer_missing', `the key of root ${name} is needed for its signature`);
  });
}

async function signBundle({ certificate, key }: BundleSigner, content: Uint8Array) {
  const bytes = signedBundleBytes(content);
  const [signature] = await key.signAll([bytes]);
  const scheme = defaultScheme(key.type);
  if (
    signature === undefined ||
    !verifySignature(certificate.publicKey, scheme, bytes, signature)
  ) {
    const name = toHex(rootKeyIdentifier(certificate));
    throw refused('bundle_signer_wrong', `the key given for root ${name} is not its key`);
  }
  return { keyIdentifier: rootKeyIdentifier(certificate), signature };
}

/** Numbers as feed subjects: 8 bytes, big-endian. */
function bundleSubject(sequence: number): Uint8Array {
  const subject = Buffer.alloc(8);
  subject.writeBigUInt64BE(BigInt(sequence));
  return subject;
}

function includes(list: readonly Certificate[], one: Certificate): boolean {
  return list.some(({ der }) => equal(der, one.der));
}

function refused(reason: string, message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', reason, message);
}
