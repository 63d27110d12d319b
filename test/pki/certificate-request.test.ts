import { expect } from 'chai';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { CertificateError } from '../../src/pki/certificate-error.ts';
import {
  createCertificateRequest,
  parseCertificateRequest,
} from '../../src/pki/certificate-request.ts';
import * as der from '../../src/pki/der-writer.ts';
import { describeName, emptyName, encodeName } from '../../src/pki/distinguished-name.ts';
import { exportPublicKeyInfo } from '../../src/pki/issue-certificate.ts';
import { algorithmOfScheme, signIssued } from '../../src/pki/signature-algorithm.ts';

const keys = generateKeyPair('ecdsa-p256');

function assemble(options: {
  readonly version?: number;
  readonly publicKeyInfo?: Uint8Array;
  readonly attributes?: readonly Uint8Array[];
  readonly algorithm?: Uint8Array;
  readonly tail?: readonly Uint8Array[];
}): Uint8Array {
  const info = der.sequence(
    der.integer(options.version ?? 0),
    emptyName,
    options.publicKeyInfo ?? exportPublicKeyInfo(keys.publicKey),
    der.explicit(0, ...(options.attributes ?? [])),
    ...(options.tail ?? []),
  );
  const signature = signIssued(keys.privateKey, 0x0403, info);
  return der.sequence(
    info,
    options.algorithm ?? algorithmOfScheme(0x0403),
    der.bitString(signature),
  );
}

describe('createCertificateRequest and parseCertificateRequest (RFC 2986)', () => {
  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] as const) {
    it(`prove possession of a ${kind} key`, () => {
      const pair = generateKeyPair(kind);
      const read = parseCertificateRequest(
        createCertificateRequest({
          ...pair,
          subject: encodeName({ commonName: 'wish' }),
          subjectAltNames: { dnsNames: ['a.test'], uris: ['spiffe://d.test/x'] },
        }),
      );
      expect(read.publicKey.equals(pair.publicKey)).to.be.true;
      expect(describeName(read.subject)).to.equal('CN=wish');
      expect(read.subjectAltNames.dnsNames).to.deep.equal(['a.test']);
      expect(read.subjectAltNames.uris).to.deep.equal(['spiffe://d.test/x']);
    });
  }

  it('need no names', () => {
    const read = parseCertificateRequest(
      createCertificateRequest({ ...keys, signatureScheme: 0x0503 }),
    );
    expect(read.subject).to.deep.equal(emptyName);
    expect(read.subjectAltNames.dnsNames).to.deep.equal([]);
  });

  it('skip attributes they do not know', () => {
    const challenge = der.sequence(
      der.objectIdentifier('1.2.840.113549.1.9.7'),
      der.setOf(der.utf8String('x')),
    );
    const keyUsageWish = der.sequence(
      der.objectIdentifier('1.2.840.113549.1.9.14'),
      der.setOf(
        der.sequence(
          der.sequence(der.objectIdentifier('2.5.29.15'), der.octetString(der.namedBits([5]))),
        ),
      ),
    );
    const read = parseCertificateRequest(assemble({ attributes: [challenge, keyUsageWish] }));
    expect(read.publicKey.equals(keys.publicKey)).to.be.true;
  });

  const otherKey = exportPublicKeyInfo(generateKeyPair('ecdsa-p256').publicKey);
  const offCurve = der.sequence(
    der.sequence(
      der.objectIdentifier('1.2.840.10045.2.1'),
      der.objectIdentifier('1.2.840.10045.3.1.7'),
    ),
    der.bitString(Buffer.concat([Uint8Array.of(4), new Uint8Array(64).fill(1)])),
  );
  const p521 = der.sequence(
    der.sequence(der.objectIdentifier('1.2.840.10045.2.1'), der.objectIdentifier('1.3.132.0.35')),
    der.bitString(new Uint8Array(133)),
  );
  const sha1 = der.sequence(der.objectIdentifier('1.2.840.10045.4.1'));
  const refused: { name: string; bytes: Uint8Array; reason: string }[] = [
    {
      name: 'the key of somebody else',
      bytes: assemble({ publicKeyInfo: otherKey }),
      reason: 'bad_request_signature',
    },
    {
      name: 'a key off the curve',
      bytes: assemble({ publicKeyInfo: offCurve }),
      reason: 'unsupported_public_key',
    },
    {
      name: 'a key of another kind',
      bytes: assemble({ publicKeyInfo: p521 }),
      reason: 'unsupported_public_key',
    },
    {
      name: 'a signature by SHA-1',
      bytes: assemble({ algorithm: sha1 }),
      reason: 'unsupported_signature_algorithm',
    },
    {
      name: 'a signature by another algorithm',
      bytes: assemble({ algorithm: algorithmOfScheme(0x0401) }),
      reason: 'bad_request_signature',
    },
    { name: 'version 2', bytes: assemble({ version: 1 }), reason: 'malformed_certificate_request' },
    {
      name: 'something behind the attributes',
      bytes: assemble({ tail: [der.integer(1)] }),
      reason: 'malformed_certificate_request',
    },
    {
      name: 'an attribute that is none',
      bytes: assemble({ attributes: [der.integer(1)] }),
      reason: 'malformed_certificate_request',
    },
    { name: 'nothing', bytes: new Uint8Array(), reason: 'malformed_certificate_request' },
    { name: 'too much', bytes: new Uint8Array(20_000), reason: 'malformed_certificate_request' },
  ];
  for (const { name, bytes, reason } of refused) {
    it(`refuse ${name}`, () => {
      expect(() => parseCertificateRequest(bytes))
        .to.throw(CertificateError)
        .with.property('reason', reason);
    });
  }

  it('refuse a request of which any byte was changed', () => {
    const request = createCertificateRequest({
      ...keys,
      subjectAltNames: { dnsNames: ['a.test'] },
    });
    for (let index = 0; index < request.length; index += 1) {
      const changed = Uint8Array.from(request);
      changed[index] = (changed[index] ?? 0) ^ 0x10;
      expect(() => parseCertificateRequest(changed), String(index)).to.throw(CertificateError);
    }
  });
});
