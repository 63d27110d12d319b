import { expect } from 'chai';
import {
  encodeSignedAttributes,
  encodeSignedData,
  encodeSignerInfo,
  openSignedData,
  type SignedAttributes,
} from '../../../src/pki/cms/index.ts';
import { hash } from '../../../src/crypto/hash.ts';
import {
  element,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
} from '../../../src/pki/der-writer.ts';
import { DerReader, Tag } from '../../../src/pki/der.ts';
import { signIssued } from '../../../src/pki/signature-algorithm.ts';
import { createTestCa, type TestCa } from '../../support/test-ca.ts';
import { type Party, refusal, signerInfoOf, signerOf } from './support.ts';

const type = '1.2.840.113549.1.7.1';
const content = Buffer.from('what was signed');

describe('SignedData', () => {
  let ca: TestCa;
  let signer: Party;
  let other: Party;

  before(() => {
    ca = createTestCa();
    signer = signerOf(ca);
    other = signerOf(ca, 'ecdsa-p256', 'other');
  });

  /** As encoded, with parts replaced. */
  function signed(parts: Partial<Parameters<typeof encodeSignedData>[0]> = {}): Uint8Array {
    return encodeSignedData({
      contentType: type,
      content,
      certificates: signer.chain,
      signerInfo: signerInfoOf(signer, type, content),
      ...parts,
    });
  }

  /** Signed with these attributes, which may be encoded in a way ours never are. */
  function signedOver(signedAttributes: Uint8Array): Uint8Array {
    const { certificate, privateKey } = signer;
    const signature = signIssued(privateKey, 0x0403, signedAttributes);
    return signed({
      signerInfo: encodeSignerInfo({ certificate, signedAttributes, scheme: 0x0403, signature }),
    });
  }

  function attributes(changes: Partial<SignedAttributes> = {}): Uint8Array {
    return encodeSignedAttributes({
      contentType: type,
      messageDigest: hash('sha256', content),
      signingTime: undefined,
      others: new Map(),
      ...changes,
    });
  }

  function inAttributes(signedAttributes: Uint8Array): readonly Uint8Array[] {
    const set = new DerReader(signedAttributes).enter(Tag.set);
    const all: Uint8Array[] = [];
    while (!set.done) all.push(set.element(Tag.sequence));
    return all;
  }

  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] as const) {
    it(`comes out as it went in, signed with ${kind}`, () => {
      const party = signerOf(ca, kind);
      const der = signed({
        certificates: party.chain,
        signerInfo: signerInfoOf(party, type, content),
      });
      const opened = openSignedData(der);
      expect(opened.content).to.deep.equal(new Uint8Array(content));
      expect(opened.certificates[0]).to.deep.equal(new Uint8Array(party.chain[0]!));
    });
  }

  it('names the certificate of the key that signed, wherever it stands', () => {
    const { chain } = ca.issue({ intermediate: true, uris: ['spiffe://test/manager/third'] });
    for (const certificates of [
      [...other.chain, ...chain, ...signer.chain],
      [...signer.chain, ...chain, ...other.chain],
    ]) {
      const opened = openSignedData(signed({ certificates }));
      expect(opened.signer.der).to.deep.equal(new Uint8Array(signer.chain[0]!));
      expect(opened.certificates[0]).to.deep.equal(new Uint8Array(signer.chain[0]!));
      expect(opened.certificates).to.have.length(4);
    }
  });

  const refusals: readonly (readonly [string, string, () => Uint8Array])[] = [
    ['other content', 'digest_mismatch', () => signed({ content: Buffer.from('another') })],
    [
      'content of another type',
      'attributes_unusable',
      () => signed({ signerInfo: signerInfoOf(signer, '1.2.3.4', content) }),
    ],
    ['without the signer', 'signer_missing', () => signed({ certificates: other.chain })],
    ['without certificates', 'signer_missing', () => signed({ certificates: [] })],
    [
      'with the signer twice',
      'signer_missing',
      () => signed({ certificates: [...signer.chain, ...signer.chain] }),
    ],
    [
      "another's signature under the signer's name",
      'signature_invalid',
      () => {
        const { certificate } = signer;
        const info = signerInfoOf({ certificate, privateKey: other.privateKey }, type, content);
        return signed({ signerInfo: info });
      },
    ],
    [
      'no message digest',
      'attributes_unusable',
      () => signedOver(setOf(...inAttributes(attributes()).filter((one) => one.length < 35))),
    ],
    [
      'no content type',
      'attributes_unusable',
      () => signedOver(setOf(...inAttributes(attributes()).filter((one) => one.length > 35))),
    ],
    ['no attributes', 'attributes_unusable', () => signedOver(setOf())],
    [
      'two message digests',
      'attributes_unusable',
      () => {
        const [first] = inAttributes(attributes({ messageDigest: hash('sha256') })).slice(-1);
        return signedOver(setOf(...inAttributes(attributes()), first!));
      },
    ],
    [
      'an attribute of two values',
      'attributes_unusable',
      () => {
        const values = setOf(octetString(hash('sha256', content)), octetString(hash('sha256')));
        const digest = sequence(objectIdentifier('1.2.840.113549.1.9.4'), values);
        return signedOver(setOf(...inAttributes(attributes()).slice(0, 1), digest));
      },
    ],
    [
      'an attribute without a value',
      'attributes_unusable',
      () =>
        signedOver(
          setOf(...inAttributes(attributes()), sequence(objectIdentifier('1.2.3'), setOf())),
        ),
    ],
    [
      'attributes out of order',
      'malformed',
      () => signedOver(element(Tag.set, ...inAttributes(attributes()).toReversed())),
    ],
    [
      'too many attributes',
      'attributes_unusable',
      () => {
        const numbers = Array.from({ length: 20 }, (_none, index) => index);
        const others = new Map(numbers.map((n) => [`1.2.3.${String(n)}`, element(Tag.null)]));
        return signedOver(attributes({ others }));
      },
    ],
    [
      'a digest of another length',
      'digest_mismatch',
      () => signedOver(attributes({ messageDigest: new Uint8Array(31) })),
    ],
    ['trailing bytes', 'malformed', () => Buffer.concat([signed(), Buffer.of(0)])],
    ['nothing', 'malformed', () => new Uint8Array(0)],
    ['too many certificates', 'malformed', () => signed({ certificates: many(ca) })],
  ];
  for (const [name, reason, make] of refusals) {
    it(`refuses ${name}`, () => {
      expect(refusal(() => openSignedData(make()))).to.equal(reason);
    });
  }

  it('refuses changed bits but those of the certificate that say nothing of its key', () => {
    const der = signed();
    for (let bit = 0; bit < der.length * 8; bit += 7) {
      const changed = Uint8Array.from(der);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      if (refusal(() => openSignedData(changed)) !== undefined) continue;
      // Of the certificate only the key and the name are of this matter: its own signature is not.
      const { signer: found } = openSignedData(changed);
      expect(found.publicKeyInfo).to.deep.equal(signer.certificate.publicKeyInfo);
      expect(found.der).not.to.deep.equal(signer.certificate.der);
    }
  });

  it('refuses it cut short anywhere', () => {
    const der = signed();
    for (let length = 0; length < der.length; length += 1) {
      expect(refusal(() => openSignedData(der.subarray(0, length)))).to.equal('malformed');
    }
  });
});

function many(ca: TestCa): readonly Uint8Array[] {
  return Array.from({ length: 11 }, (_none, index) =>
    signerOf(ca, 'ed25519', String(index)),
  ).flatMap(({ chain }) => chain);
}
