import { createHash, type KeyObject } from 'node:crypto';
import { keyKindOf } from '../../src/crypto/keys.ts';
import type { Certificate } from '../../src/pki/certificate.ts';
import * as der from '../../src/pki/der-writer.ts';
import { Tag } from '../../src/pki/der.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import { BASIC_OCSP_RESPONSE_OID } from '../../src/pki/oids.ts';
import { parsePublicKeyInfo } from '../../src/pki/public-key-info.ts';
import { algorithmOfScheme, defaultScheme, signIssued } from '../../src/pki/signature-algorithm.ts';

/** Who signs a response. */
export interface OcspResponder {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

/** One answer; what is left out is as it should be. */
export interface OcspAnswer {
  /** Whom it is about, and who issued that. */
  readonly leaf: Certificate;
  readonly issuer: Certificate;
  readonly hash?: 'sha1' | 'sha256' | 'sha384';
  /** Leave the NULL of the hash's parameters out. */
  readonly bareHash?: boolean;
  readonly status?: Uint8Array;
  readonly thisUpdate: Date;
  /** Absent: there is none. */
  readonly nextUpdate?: Date;
  readonly extensions?: readonly Uint8Array[];
}

/** A whole response, also a wrong one. */
export interface OcspTemplate {
  readonly responder: OcspResponder;
  readonly answers: readonly OcspAnswer[];
  readonly producedAt: Date;
  readonly responderId?: 'byName' | 'byKey';
  readonly certificates?: readonly Uint8Array[];
  readonly extensions?: readonly Uint8Array[];
  readonly scheme?: number;
  readonly changeSignature?: (signature: Uint8Array) => Uint8Array;
  /** Before anything else of ResponseData. */
  readonly version?: Uint8Array;
}

/** Encodes and signs, for tests and servers of tests; no rule is applied. */
export function issueOcspResponse(template: OcspTemplate): Uint8Array {
  const { responder, certificates = [] } = template;
  const kind = keyKindOf(responder.privateKey);
  if (kind === undefined) throw new TypeError('unsuitable key');
  const scheme = template.scheme ?? defaultScheme(kind);
  const data = responseData(template);
  const signature = signIssued(responder.privateKey, scheme, data);
  return ocspResponse(
    der.sequence(
      data,
      algorithmOfScheme(scheme),
      der.bitString(template.changeSignature?.(signature) ?? signature),
      ...(certificates.length === 0 ? [] : [der.explicit(0, der.sequence(...certificates))]),
    ),
  );
}

/** The outer wrapping, of type basic unless told otherwise. */
export function ocspResponse(basic: Uint8Array, type = BASIC_OCSP_RESPONSE_OID): Uint8Array {
  const bytes = der.sequence(der.objectIdentifier(type), der.octetString(basic));
  return der.sequence(der.enumerated(0), der.explicit(0, bytes));
}

export const ocspGood = der.implicit(0, new Uint8Array(0));
export const ocspUnknown = der.implicit(2, new Uint8Array(0));

export function ocspRevoked(revokedAt: Date, reason?: number): Uint8Array {
  const fields = [generalizedTime(revokedAt)];
  if (reason !== undefined) fields.push(der.explicit(0, der.enumerated(reason)));
  return der.explicit(1, ...fields);
}

/** The feature status_request, as a certificate promises it (RFC 7633 §4.2.3.1). */
export function mustStapleExtension(features: readonly number[] = [5], critical = false) {
  const value = der.sequence(...features.map((feature) => der.integer(feature)));
  return encodeExtension('1.3.6.1.5.5.7.1.24', critical, value);
}

export function generalizedTime(moment: Date): Uint8Array {
  const digits = moment.toISOString().slice(0, 19).replace(/[-T:]/g, '');
  return der.element(Tag.generalizedTime, Buffer.from(`${digits}Z`, 'latin1'));
}

function responseData(template: OcspTemplate): Uint8Array {
  const { responder, responderId = 'byName', version, extensions = [] } = template;
  const id =
    responderId === 'byName'
      ? der.explicit(1, responder.certificate.subject)
      : der.explicit(2, der.octetString(keyHash('sha1', responder.certificate)));
  return der.sequence(
    ...(version === undefined ? [] : [version]),
    id,
    generalizedTime(template.producedAt),
    der.sequence(...template.answers.map(singleResponse)),
    ...(extensions.length === 0 ? [] : [der.explicit(1, der.sequence(...extensions))]),
  );
}

function singleResponse(answer: OcspAnswer): Uint8Array {
  const { nextUpdate, extensions = [] } = answer;
  return der.sequence(
    certificateId(answer),
    answer.status ?? ocspGood,
    generalizedTime(answer.thisUpdate),
    ...(nextUpdate === undefined ? [] : [der.explicit(0, generalizedTime(nextUpdate))]),
    ...(extensions.length === 0 ? [] : [der.explicit(1, der.sequence(...extensions))]),
  );
}

function certificateId({ leaf, issuer, hash = 'sha1', bareHash = false }: OcspAnswer): Uint8Array {
  const parameters = bareHash ? [] : [der.element(Tag.null)];
  return der.sequence(
    der.sequence(der.objectIdentifier(hashOids[hash]), ...parameters),
    der.octetString(createHash(hash).update(issuer.subject).digest()),
    der.octetString(keyHash(hash, issuer)),
    der.element(Tag.integer, leaf.serialNumber),
  );
}

function keyHash(hash: string, certificate: Certificate): Uint8Array {
  return createHash(hash).update(parsePublicKeyInfo(certificate.publicKeyInfo).keyBits).digest();
}

const hashOids = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
} as const;
