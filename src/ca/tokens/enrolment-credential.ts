import { equal } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { generateKeyPair } from '../../crypto/key-generation.ts';
import { keyIdentifier } from '../../pki/index.ts';
import { exportPublicKeyInfo } from '../../pki/issue-certificate.ts';
import { ServiceError } from '../../rpc/errors.ts';
import { newSerial, uuidText } from '../issue/ids.ts';
import type { IssuingContext } from '../issue/issuing-context.ts';
import { leafValidity } from '../issue/leaf-signer.ts';
import type { NewRow } from '../store/schema.ts';

/** The client credential of a batch of bundles: it opens the enrolment port and is nobody. */
export interface EnrolmentCredential {
  /** DER. */
  readonly certificate: Uint8Array;
  /** PKCS #8; the caller wipes it. */
  readonly privateKey: Uint8Array;
  readonly notAfter: number;
  readonly row: NewRow<'certificate'>;
}

/**
 * Makes one, good until `until` or as long as the enrolment CA is. Its name is
 * `spiffe://TRUST-DOMAIN/enrolment/BATCH`, which says nothing of any host.
 */
export async function makeEnrolmentCredential(
  context: IssuingContext,
  batch: Uint8Array,
  until: number,
): Promise<EnrolmentCredential> {
  const now = context.now().getTime();
  const issuer = context.leaves.issuer('enrolment');
  const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
  const publicKeyInfo = exportPublicKeyInfo(publicKey);
  const validity = leafValidity(issuer, now, Math.max(1, Math.floor((until - now) / 1000)));
  const serial = newSerial(context);
  const [der] = await context.leaves.sign(issuer, [
    {
      serial,
      purpose: 'enrolment',
      key: { publicKeyInfo, keyIdentifier: keyIdentifier(publicKeyInfo), kind: 'ecdsa-p256' },
      ...validity,
      uri: `spiffe://${context.trustDomain}/enrolment/${uuidText(batch)}`,
      dnsNames: [],
    },
  ]);
  if (der === undefined) throw new Error('the credential was not signed');
  return {
    certificate: der,
    privateKey: privateKey.export({ type: 'pkcs8', format: 'der' }),
    notAfter: validity.notAfter,
    row: {
      serial,
      issuer: issuer.id,
      agent: null,
      agent_generation: null,
      role: null,
      purpose: 'enrolment',
      state: 'issued',
      key_hash: hash('sha256', publicKeyInfo),
      not_before: validity.notBefore,
      not_after: validity.notAfter,
      der,
      token: null,
      policy: null,
      policy_version: null,
      replaces: null,
      issued_at: now,
      confirmed_at: null,
      request: batch,
    },
  };
}

/**
 * Makes sure, within a transaction and after `keepUp`, that the CA which signed a credential still
 * signs. Throws `ServiceError` (`UNAVAILABLE`).
 */
export function requireIssuer({ leaves }: IssuingContext, { row }: EnrolmentCredential): void {
  if (equal(leaves.issuer('enrolment').id, row.issuer)) return;
  const message = 'another CA has come to sign meanwhile';
  throw new ServiceError('UNAVAILABLE', 'keys_changing', message, { retryAfterMs: 1000 });
}
