import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { expect } from 'chai';
import { bundleSignedPart, tokenKeyId } from '../../src/ca/bundle/bundle.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { BundleError, parseEnrolmentBundle } from '../../src/identity/enrolment-bundle.ts';
import { encodePem, exportPkcs8Pem, parsePem } from '../../src/pki/index.ts';
import { FakeAuthority } from './support/fake-authority.ts';
import { FakeClock } from './support/fake-clock.ts';

describe('enrolment bundles', () => {
  const authority = new FakeAuthority(new FakeClock().now);
  const file = Buffer.from(authority.makeBundle());
  const other = Buffer.from(authority.makeBundle());
  const [signed, certificate, key] = parsePem(file).map(({ der }) => Buffer.from(der)) as [
    Buffer,
    Buffer,
    Buffer,
  ];

  /** The file with another document, signed as it was or by somebody else. */
  function withDocument(
    change: (document: Record<string, unknown>) => void,
    resign?: 'with a new key',
  ): Buffer {
    const document = JSON.parse(signed.subarray(64).toString()) as Record<string, unknown>;
    let signature: Buffer = signed.subarray(0, 64);
    const keys = generateKeyPairSync('ed25519');
    if (resign !== undefined) {
      const info = keys.publicKey.export({ type: 'spki', format: 'der' });
      document['publicKey'] = info.toString('base64');
      document['keyId'] = Buffer.from(tokenKeyId(info)).toString('hex');
    }
    change(document);
    const bytes = Buffer.from(JSON.stringify(document));
    if (resign !== undefined) signature = sign(null, bundleSignedPart(bytes), keys.privateKey);
    return blocks(Buffer.concat([signature, bytes]), certificate, key);
  }

  function blocks(...parts: readonly [Uint8Array, Uint8Array, Uint8Array]): Buffer {
    const labels = ['SIDEKEY ENROLMENT', 'CERTIFICATE', 'PRIVATE KEY'];
    return Buffer.concat(parts.map((part, index) => encodePem(labels[index] ?? '', part)));
  }

  it('are read as they were made', () => {
    const bundle = parseEnrolmentBundle(file);
    expect(bundle.trustDomain).to.equal('example.test');
    expect(bundle.role).to.equal('agent');
    expect(bundle.addresses).to.deep.equal(['authority.test:7443', 'other.test:7443']);
    expect(bundle.token).to.match(/^sk1\./);
    expect(bundle.roots).to.have.length(1);
    expect(bundle.credential.chain).to.have.length(1);
    expect(bundle.notAfter.toISOString()).to.equal('2026-06-01T01:00:00.000Z');
    const { privateKey } = bundle.credential;
    expect(privateKey.equals(createPrivateKey({ key, format: 'der', type: 'pkcs8' }))).to.equal(
      true,
    );
  });

  it('leave the file to whoever gave it', () => {
    const before = Buffer.from(file);
    parseEnrolmentBundle(file);
    expect(file.equals(before)).to.equal(true);
  });

  const stranger = generateKeyPair('ecdsa-p256');
  const cases: readonly {
    readonly what: string;
    readonly bytes: Uint8Array;
    readonly says: RegExp;
  }[] = [
    { what: 'empty', bytes: new Uint8Array(), says: /no block "SIDEKEY ENROLMENT"/ },
    { what: 'something else', bytes: Buffer.from('hello'), says: /no block/ },
    { what: 'too long', bytes: Buffer.alloc(300_000, 'x'), says: /longer than 262144 bytes/ },
    { what: 'cut short', bytes: file.subarray(0, file.length - 60), says: /PEM file has no end/ },
    {
      what: 'without its key',
      bytes: blocks(signed, certificate, key).subarray(
        0,
        -Buffer.from(encodePem('PRIVATE KEY', key)).length,
      ),
      says: /no block "PRIVATE KEY"/,
    },
    { what: 'with two tokens', bytes: Buffer.concat([file, other]), says: /more than one block/ },
    {
      what: 'without a document',
      bytes: blocks(signed.subarray(0, 64), certificate, key),
      says: /holds no JSON/,
    },
    {
      what: 'of a later version',
      bytes: withDocument((document) => (document['version'] = 2)),
      says: /of version 2, which this version/,
    },
    {
      what: 'sent to other addresses',
      bytes: withDocument((document) => (document['addresses'] = ['evil.test:1'])),
      says: /altered: its signature/,
    },
    {
      what: 'sent to no address',
      bytes: withDocument((document) => (document['addresses'] = [])),
      says: /wrong at: addresses/,
    },
    {
      what: 'sent to a bad address',
      bytes: withDocument((document) => (document['addresses'] = ['http://evil.test/'])),
      says: /wrong at: addresses.0/,
    },
    {
      what: 'with other roots',
      bytes: withDocument((document) => {
        const root = Buffer.from(authority.makeRoot('Evil').certificate.der);
        document['roots'] = [root.toString('base64')];
      }),
      says: /altered/,
    },
    {
      what: 'with other roots, signed by somebody else',
      bytes: withDocument((document) => {
        const root = Buffer.from(authority.makeRoot('Evil').certificate.der);
        document['roots'] = [root.toString('base64')];
      }, 'with a new key'),
      says: /its token is signed by another key/,
    },
    {
      what: 'with a key id that is not of its key',
      bytes: withDocument((document) => (document['keyId'] = '0011223344556677')),
      says: /its key is not the one it names/,
    },
    {
      what: 'with a name that is no trust domain',
      bytes: withDocument((document) => (document['trustDomain'] = 'A/B')),
      says: /wrong at: trustDomain/,
    },
    {
      what: 'with a certificate of another CA',
      bytes: blocks(signed, authority.root.certificate.der, key),
      says: /its certificate is not the one it names/,
    },
    {
      what: 'with a certificate that is none',
      bytes: blocks(signed, Buffer.from('3003020101', 'hex'), key),
      says: /its certificate cannot be read/,
    },
    {
      what: 'with the key of somebody else',
      bytes: blocks(
        signed,
        certificate,
        stranger.privateKey.export({ type: 'pkcs8', format: 'der' }),
      ),
      says: /its private key is of another certificate/,
    },
    {
      what: 'with a key that is none',
      bytes: blocks(signed, certificate, Buffer.from('3003020101', 'hex')),
      says: /its private key cannot be used/,
    },
  ];
  for (const { what, bytes, says } of cases) {
    it(`are refused when they are ${what}, without a word of the token`, () => {
      let error: unknown;
      try {
        parseEnrolmentBundle(bytes);
      } catch (thrown) {
        error = thrown;
      }
      if (!(error instanceof BundleError)) throw new Error(`not refused: ${String(error)}`);
      expect(error.message).to.match(says);
      expect(error.message).to.not.include('sk1.');
    });
  }

  it('are refused with any bit of the document flipped', () => {
    for (let index = 0; index < signed.length; index += 7) {
      const changed = Buffer.from(signed);
      changed[index]! ^= 1;
      expect(() => parseEnrolmentBundle(blocks(changed, certificate, key)), String(index)).to.throw(
        BundleError,
      );
    }
  });

  it('are refused with an encrypted or old-fashioned key', () => {
    const pem = Buffer.from(exportPkcs8Pem(stranger.privateKey))
      .toString()
      .replaceAll('PRIVATE', 'EC PRIVATE');
    const text = Buffer.concat([
      encodePem('SIDEKEY ENROLMENT', signed),
      encodePem('CERTIFICATE', certificate),
      Buffer.from(pem),
    ]);
    expect(() => parseEnrolmentBundle(text)).to.throw(BundleError, /no block "PRIVATE KEY"/);
  });
});
