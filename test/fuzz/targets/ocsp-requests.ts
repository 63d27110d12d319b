import { decodeOcspPath } from '../../../src/ca/http/ocsp-path.ts';
import { CertificateError } from '../../../src/pki/certificate-error.ts';
import * as der from '../../../src/pki/der-writer.ts';
import { Tag } from '../../../src/pki/der.ts';
import { encodeExtension } from '../../../src/pki/issue-certificate.ts';
import {
  encodeOcspToBeSigned,
  issuerHashes,
  joinOcspSignature,
} from '../../../src/pki/issue-ocsp-response.ts';
import { parseOcspRequest } from '../../../src/pki/ocsp-request.ts';
import { parseOcspResponse } from '../../../src/pki/ocsp-response.ts';
import { OCSP_NONCE_OID } from '../../../src/pki/oids.ts';
import { rawCa, testNow } from '../../support/raw-certificate.ts';
import { derMutator } from '../der-mutator.ts';
import { byteMutator, either } from '../mutator.ts';
import { broken, isA, kindOf, mustEqual, type Target, valueOrError } from '../target.ts';

const ca = rawCa({ subject: 'asked about' }).certificate;

/** What anybody can ask of the responder; whatever is taken gets an answer that can be read. */
export const ocspRequests: Target = {
  name: 'ocsp-requests',
  seeds: () => [requestOf('sha1', false), requestOf('sha256', true)],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const path = decodeOcspPath(encodeURIComponent(Buffer.from(input).toString('base64')));
    if (input.length > 0) mustEqual('a request changes on its way in a path', path ?? input, input);
    const outcome = valueOrError(() => parseOcspRequest(input), isA(CertificateError));
    if ('error' in outcome) return kindOf(outcome.error);
    const { certificates, nonce } = outcome.value;
    const known = certificates.filter(({ id }) => id !== undefined);
    const toBeSigned = encodeOcspToBeSigned({
      responder: ca,
      producedAt: testNow,
      answers: known.map(({ encoded }) => ({
        encodedId: encoded,
        status: { tag: 'good' },
        thisUpdate: testNow,
        nextUpdate: testNow,
      })),
      ...(nonce === undefined ? {} : { nonce }),
    });
    const response = joinOcspSignature(toBeSigned, 0x0403, new Uint8Array(70), []);
    const { responses } = parseOcspResponse(response);
    if (responses.length !== known.length) broken('an answer is lost');
    return `${String(known.length)} known${nonce === undefined ? '' : ', with nonce'}`;
  },
};

function requestOf(hash: 'sha1' | 'sha256', withNonce: boolean): Uint8Array {
  const { name, key } = issuerHashes(ca, hash);
  const oid = hash === 'sha1' ? '1.3.14.3.2.26' : '2.16.840.1.101.3.4.2.1';
  const id = der.sequence(
    der.sequence(der.objectIdentifier(oid), der.element(Tag.null)),
    der.octetString(name),
    der.octetString(key),
    der.integer(4711),
  );
  const nonce = encodeExtension(OCSP_NONCE_OID, false, der.octetString(new Uint8Array(16)));
  return der.sequence(
    der.sequence(
      der.sequence(der.sequence(id)),
      ...(withNonce ? [der.explicit(2, der.sequence(nonce))] : []),
    ),
  );
}
