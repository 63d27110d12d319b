import { expect } from 'chai';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { parseOcspResponse } from '../../src/pki/ocsp-response.ts';
import * as der from '../../src/pki/der-writer.ts';
import { Tag } from '../../src/pki/der.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import {
  generalizedTime,
  issueOcspResponse,
  type OcspAnswer,
  ocspGood,
  ocspResponse,
  ocspRevoked,
  type OcspTemplate,
  ocspUnknown,
} from '../support/ocsp-response.ts';
import { rawCa, rawLeaf, testNow } from '../support/raw-certificate.ts';

const HOUR = 3_600_000;
const ca = rawCa({ subject: 'issuer' });
const { certificate: leaf } = rawLeaf(ca, { serialNumber: Uint8Array.of(0xf0, 9) });
const answer: OcspAnswer = {
  leaf,
  issuer: ca.certificate,
  thisUpdate: new Date(testNow.getTime() - HOUR),
  nextUpdate: new Date(testNow.getTime() + HOUR),
};

function issue(
  changes: Partial<OcspTemplate> = {},
  answerChanges: Partial<OcspAnswer> = {},
): Uint8Array {
  return issueOcspResponse({
    responder: ca,
    answers: [{ ...answer, ...answerChanges }],
    producedAt: testNow,
    ...changes,
  });
}

function refusal(bytes: Uint8Array): CertificateError {
  try {
    parseOcspResponse(bytes);
  } catch (error) {
    if (error instanceof CertificateError) return error;
    throw error;
  }
  throw new Error('was taken');
}

describe('parseOcspResponse (RFC 6960 §4.2.1)', () => {
  it('reads what a response says', () => {
    const parsed = parseOcspResponse(issue({ certificates: [ca.der, ca.der] }));
    expect(parsed.signatureScheme).to.equal(0x0403);
    expect(parsed.responderId).to.deep.equal({ tag: 'byName', name: ca.certificate.subject });
    expect(parsed.producedAt).to.deep.equal(testNow);
    expect(parsed.certificates.map((each) => Buffer.compare(each, ca.der))).to.deep.equal([0, 0]);
    expect(parsed.responses).to.have.length(1);
    const [single] = parsed.responses;
    expect(single?.status).to.deep.equal({ tag: 'good' });
    expect(single?.thisUpdate).to.deep.equal(answer.thisUpdate);
    expect(single?.nextUpdate).to.deep.equal(answer.nextUpdate);
    expect(single?.certificateId.hash).to.equal('sha1');
    expect(single?.certificateId.issuerKeyHash).to.have.length(20);
    expect(single?.certificateId.serialNumber).to.deep.equal(leaf.serialNumber);
  });

  const revokedAt = new Date('2030-06-01T10:20:30Z');
  for (const [name, status, value] of [
    ['good', ocspGood, { tag: 'good' }],
    ['unknown', ocspUnknown, { tag: 'unknown' }],
    [
      'revoked',
      ocspRevoked(revokedAt),
      { tag: 'revoked', revokedAt, reason: 'unspecified' as const },
    ],
    [
      'revoked with a reason',
      ocspRevoked(revokedAt, 1),
      { tag: 'revoked', revokedAt, reason: 'keyCompromise' as const },
    ],
  ] as const) {
    it(`reads the status ${name}`, () => {
      const [single] = parseOcspResponse(issue({}, { status })).responses;
      expect(single?.status).to.deep.equal(value);
    });
  }

  it('reads a responder known by its key, and a response without next update', () => {
    const endless = { leaf, issuer: ca.certificate, thisUpdate: answer.thisUpdate };
    const parsed = parseOcspResponse(issue({ responderId: 'byKey', answers: [endless] }));
    expect(parsed.responderId).to.have.property('tag', 'byKey');
    expect(parsed.responses[0]?.nextUpdate).to.equal(undefined);
  });

  it('takes certificate IDs of SHA-1 and SHA-256, with and without NULL, and passes over others', () => {
    const answers = (['sha1', 'sha256', 'sha384'] as const).flatMap((hash) => [
      { ...answer, hash },
      { ...answer, hash, bareHash: true },
    ]);
    const { responses } = parseOcspResponse(issue({ answers }));
    expect(responses.map(({ certificateId }) => certificateId.hash)).to.deep.equal([
      'sha1',
      'sha1',
      'sha256',
      'sha256',
    ]);
  });

  it('passes over extensions that are not critical', () => {
    const nonce = encodeExtension('1.3.6.1.5.5.7.48.1.2', false, der.octetString(testNonce));
    const parsed = parseOcspResponse(issue({ extensions: [nonce] }, { extensions: [nonce] }));
    expect(parsed.responses).to.have.length(1);
  });

  const critical = [encodeExtension('1.2.3.4', true, Uint8Array.of(5, 0))];
  const badTime = der.element(Tag.generalizedTime, Buffer.from('20300615120000.5Z', 'latin1'));
  const malformed = 'malformed_ocsp_response';
  const unsupported = 'unsupported_ocsp_response';
  const rows: readonly (readonly [string, () => Uint8Array, string])[] = [
    ['nothing', () => new Uint8Array(0), malformed],
    ['bytes behind it', () => Buffer.concat([issue(), Uint8Array.of(0)]), malformed],
    ['a response cut short', () => issue().subarray(0, -1), malformed],
    ['more bytes than any has', () => new Uint8Array(32 * 1024 + 1), malformed],
    ['an indefinite length', () => Uint8Array.of(0x30, 0x80, 0, 0), malformed],
    ['the error tryLater', () => Uint8Array.of(0x30, 3, 10, 1, 3), 'unsuccessful_ocsp_response'],
    ['the error unauthorized', () => Uint8Array.of(48, 3, 10, 1, 6), 'unsuccessful_ocsp_response'],
    ['success without response bytes', () => Uint8Array.of(0x30, 3, 10, 1, 0), malformed],
    ['another type', () => ocspResponse(new Uint8Array(0), '1.3.6.1.5.5.7.48.1.9'), unsupported],
    ['a basic response that is none', () => ocspResponse(Uint8Array.of(5, 0)), malformed],
    ['its version encoded', () => issue({ version: der.explicit(0, der.integer(0)) }), malformed],
    ['another version', () => issue({ version: der.explicit(0, der.integer(1)) }), malformed],
    ['a critical extension', () => issue({ extensions: critical }), unsupported],
    ['a critical extension of an answer', () => issue({}, { extensions: critical }), unsupported],
    ['an empty list of extensions', () => emptyExtensions(), malformed],
    ['a status of no kind', () => issue({}, { status: der.implicit(3, testNonce) }), malformed],
    ['good with contents', () => issue({}, { status: der.implicit(0, testNonce) }), malformed],
    ['an unknown reason', () => issue({}, { status: ocspRevoked(testNow, 7) }), malformed],
    ['a fraction of a second', () => issue({}, { status: der.explicit(1, badTime) }), malformed],
    ['UTCTime', () => issue({}, { status: der.explicit(1, der.time(testNow)) }), malformed],
    [
      'more behind the time of revocation',
      () => issue({}, { status: der.explicit(1, generalizedTime(testNow), der.integer(1)) }),
      malformed,
    ],
    ['too many answers', () => issue({ answers: Array<OcspAnswer>(65).fill(answer) }), malformed],
    [
      'too many certificates',
      () => issue({ certificates: Array<Uint8Array>(9).fill(der.sequence()) }),
      malformed,
    ],
    ['SHA-1 to sign with', () => withAlgorithm('1.2.840.10045.4.1'), unsupported],
  ];
  for (const [name, make, reason] of rows) {
    it(`refuses ${name}`, () => {
      const error = refusal(make());
      expect(error).to.include({ alert: 'bad_certificate_status_response', reason });
    });
  }

  it('takes as many answers and certificates as it is bounded to', () => {
    const parsed = parseOcspResponse(
      issue({
        answers: Array<OcspAnswer>(64).fill(answer),
        certificates: Array<Uint8Array>(8).fill(der.sequence()),
      }),
    );
    expect([parsed.responses.length, parsed.certificates.length]).to.deep.equal([64, 8]);
  });

  it('throws nothing but CertificateError for any byte changed', () => {
    const good = issue({ certificates: [ca.der] });
    for (let index = 0; index < good.length; index += 1) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const bytes = Uint8Array.from(good);
        bytes[index] = (bytes[index] ?? 0) ^ flip;
        try {
          parseOcspResponse(bytes);
        } catch (error) {
          expect(error).to.be.instanceOf(CertificateError);
        }
      }
    }
  });
});

const testNonce = Uint8Array.of(1, 2, 3, 4);

function emptyExtensions(): Uint8Array {
  const data = der.sequence(
    der.explicit(1, ca.certificate.subject),
    generalizedTime(testNow),
    der.sequence(),
    der.explicit(1, der.sequence()),
  );
  return basicOf(data, der.sequence(der.objectIdentifier('1.2.840.10045.4.3.2')));
}

function withAlgorithm(oid: string): Uint8Array {
  const data = der.sequence(
    der.explicit(1, ca.certificate.subject),
    generalizedTime(testNow),
    der.sequence(),
  );
  return basicOf(data, der.sequence(der.objectIdentifier(oid)));
}

function basicOf(data: Uint8Array, algorithm: Uint8Array): Uint8Array {
  return ocspResponse(der.sequence(data, algorithm, der.bitString(Uint8Array.of(1))));
}
