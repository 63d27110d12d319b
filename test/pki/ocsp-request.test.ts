import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import * as der from '../../src/pki/der-writer.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import { parseCertificate } from '../../src/pki/certificate.ts';
import { encodeExtension } from '../../src/pki/issue-certificate.ts';
import {
  encodeOcspError,
  encodeOcspToBeSigned,
  issuerHashes,
  joinOcspSignature,
} from '../../src/pki/issue-ocsp-response.ts';
import { parseOcspRequest } from '../../src/pki/ocsp-request.ts';
import { parseOcspResponse } from '../../src/pki/ocsp-response.ts';
import { OCSP_NONCE_OID } from '../../src/pki/oids.ts';
import { signIssued } from '../../src/pki/signature-algorithm.ts';
import { openSsl, type OpenSsl } from '../support/openssl.ts';
import { createTestCa } from '../support/test-ca.ts';

const ca = createTestCa();
const [leaf = new Uint8Array(0)] = ca.issue({ dnsNames: ['asked.test'] }).chain;
const leafCertificate = parseCertificate(leaf);

function certId(hash: 'sha1' | 'sha256' = 'sha1'): Uint8Array {
  const { name, key } = issuerHashes(ca.parsed, hash);
  const oid = hash === 'sha1' ? '1.3.14.3.2.26' : '2.16.840.1.101.3.4.2.1';
  return der.sequence(
    der.sequence(der.objectIdentifier(oid), der.element(0x05)),
    der.octetString(name),
    der.octetString(key),
    der.element(0x02, leafCertificate.serialNumber),
  );
}

function request(
  options: {
    readonly list?: readonly Uint8Array[];
    readonly extensions?: readonly Uint8Array[];
  } = {},
): Uint8Array {
  const { list = [der.sequence(certId())], extensions = [] } = options;
  return der.sequence(
    der.sequence(
      der.sequence(...list),
      ...(extensions.length === 0 ? [] : [der.explicit(2, der.sequence(...extensions))]),
    ),
  );
}

const nonce = (length: number): Uint8Array =>
  encodeExtension(OCSP_NONCE_OID, false, der.octetString(new Uint8Array(length).fill(7)));

describe('parseOcspRequest (RFC 6960 §4.1)', () => {
  let openssl: OpenSsl;
  before(() => {
    openssl = openSsl();
  });
  after(() => {
    openssl.close();
  });

  for (const hash of ['sha1', 'sha256'] as const) {
    it(`reads what OpenSSL asks, ${hash}`, () => {
      const out = openssl.file('request.der', '');
      const { status, output } = openssl.run(
        'ocsp',
        `-${hash}`,
        '-issuer',
        openssl.file('ca.pem', ca.pem),
        '-cert',
        openssl.pem('leaf.pem', 'CERTIFICATE', leaf),
        '-reqout',
        out,
      );
      expect(status, output).to.equal(0);
      const { certificates, nonce: asked } = parseOcspRequest(readFileSync(out));
      const { name, key } = issuerHashes(ca.parsed, hash);
      expect(certificates).to.have.length(1);
      expect(certificates[0]?.id?.hash).to.equal(hash);
      expect(Buffer.from(certificates[0]?.id?.issuerNameHash ?? [])).to.deep.equal(
        Buffer.from(name),
      );
      expect(Buffer.from(certificates[0]?.id?.issuerKeyHash ?? [])).to.deep.equal(Buffer.from(key));
      expect(Buffer.from(certificates[0]?.id?.serialNumber ?? [])).to.deep.equal(
        Buffer.from(leafCertificate.serialNumber),
      );
      expect(Buffer.from(certificates[0]?.encoded ?? [])).to.deep.equal(Buffer.from(certId(hash)));
      expect(asked?.length).to.equal(18);
    });
  }

  it('knows no hash but SHA-1 and SHA-256, and says so for that certificate alone', () => {
    const foreign = der.sequence(
      der.sequence(der.objectIdentifier('2.16.840.1.101.3.4.2.2')),
      der.octetString(new Uint8Array(48)),
      der.octetString(new Uint8Array(48)),
      der.integer(5),
    );
    const list = [der.sequence(foreign), der.sequence(certId())];
    const { certificates } = parseOcspRequest(request({ list }));
    expect(certificates.map(({ id }) => id?.hash)).to.deep.equal([undefined, 'sha1']);
  });

  const refused: readonly { readonly name: string; readonly bytes: Uint8Array }[] = [
    { name: 'nothing', bytes: new Uint8Array(0) },
    { name: 'an empty list', bytes: request({ list: [] }) },
    {
      name: 'an encoded version',
      bytes: der.sequence(
        der.sequence(der.explicit(0, der.integer(0)), der.sequence(der.sequence(certId()))),
      ),
    },
    { name: 'bytes behind it', bytes: Buffer.concat([request(), Uint8Array.of(0)]) },
    { name: 'an empty nonce', bytes: request({ extensions: [nonce(0)] }) },
    { name: 'a nonce of 129 bytes', bytes: request({ extensions: [nonce(129)] }) },
    {
      name: 'an unknown critical extension',
      bytes: request({ extensions: [encodeExtension('1.2.3', true, der.integer(1))] }),
    },
    {
      name: 'an unknown critical extension of one certificate',
      bytes: request({
        list: [
          der.sequence(
            certId(),
            der.explicit(0, der.sequence(encodeExtension('1.2.3', true, der.integer(1)))),
          ),
        ],
      }),
    },
    {
      name: 'seventeen certificates',
      bytes: request({ list: Array.from({ length: 17 }, () => der.sequence(certId())) }),
    },
    {
      name: 'more than 8 KiB',
      bytes: request({
        extensions: [encodeExtension('1.2.3', false, der.octetString(new Uint8Array(9000)))],
      }),
    },
  ];
  for (const { name, bytes } of refused) {
    it(`refuses ${name}`, () => {
      expect(() => parseOcspRequest(bytes))
        .to.throw(CertificateError)
        .with.property('reason')
        .that.matches(/ocsp_request$/);
    });
  }

  it('throws nothing but CertificateError for any byte changed', () => {
    const good = request({ extensions: [nonce(16)] });
    for (let index = 0; index < good.length; index += 1) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const bytes = Uint8Array.from(good);
        bytes[index] = (bytes[index] ?? 0) ^ mask;
        try {
          parseOcspRequest(bytes);
        } catch (error) {
          expect(error).to.be.instanceOf(CertificateError);
        }
      }
    }
  });
});

describe('OCSP responses as we write them', () => {
  const producedAt = new Date('2026-11-22T08:00:00Z');
  const nextUpdate = new Date('2026-11-22T09:00:00Z');

  function respond(scheme = 0x0403): Uint8Array {
    const answer = { encodedId: certId('sha256'), thisUpdate: producedAt, nextUpdate };
    const tbs = encodeOcspToBeSigned({
      responder: ca.parsed,
      producedAt,
      nonce: der.octetString(new Uint8Array(16)),
      answers: [
        { ...answer, status: { tag: 'good' } },
        { ...answer, status: { tag: 'unknown' } },
        { ...answer, status: { tag: 'revoked', revokedAt: producedAt, reason: 'keyCompromise' } },
        { ...answer, status: { tag: 'revoked', revokedAt: producedAt, reason: 'unspecified' } },
      ],
    });
    return joinOcspSignature(tbs, scheme, signIssued(ca.privateKey, scheme, tbs), [ca.certificate]);
  }

  it('are read back as they were meant', () => {
    const response = parseOcspResponse(respond());
    expect(response.producedAt).to.deep.equal(producedAt);
    expect(response.responderId.tag).to.equal('byKey');
    expect(response.responses.map(({ status }) => status)).to.deep.equal([
      { tag: 'good' },
      { tag: 'unknown' },
      { tag: 'revoked', revokedAt: producedAt, reason: 'keyCompromise' },
      { tag: 'revoked', revokedAt: producedAt, reason: 'unspecified' },
    ]);
    expect(response.responses[0]?.nextUpdate).to.deep.equal(nextUpdate);
  });

  it('are errors of one byte when there is nothing to sign', () => {
    expect(Buffer.from(encodeOcspError('unauthorized')).toString('hex')).to.equal('30030a0106');
    expect(() => parseOcspResponse(encodeOcspError('tryLater'))).to.throw(/is the error 3/);
  });
});
