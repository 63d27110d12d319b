import { createCipheriv } from 'node:crypto';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { hash } from '../../../src/crypto/hash.ts';
import {
  CmsError,
  CONFIGURATION_CONTENT_OID,
  encodeConfigurationStatement,
  encodeSignedAttributes,
  encodeSignedData,
  encodeSignerInfo,
  openContentKey,
  openSignedData,
  parseRecipientInfo,
  parseSealedMessage,
  readConfigurationStatement,
  sealMessage,
} from '../../../src/pki/cms/index.ts';
import { ContentEncryptionOid, ContentTypeOid } from '../../../src/pki/cms/cms-oids.ts';
import { encodeContentInfo } from '../../../src/pki/cms/content-info.ts';
import { sealContentKey } from '../../../src/pki/cms/recipient-info.ts';
import * as der from '../../../src/pki/der-writer.ts';
import { signIssued } from '../../../src/pki/signature-algorithm.ts';
import { Tag } from '../../../src/pki/der.ts';
import { keyUsage, rawCa, rawLeaf, subjectAltNames } from '../../support/raw-certificate.ts';
import { derMutator } from '../der-mutator.ts';
import { byteMutator, either } from '../mutator.ts';
import { broken, isA, kindOf, mustEqual, type Target, valueOrError } from '../target.ts';

const ca = rawCa({ subject: 'signs messages' });
const signer = rawLeaf(ca);
const recipients = (['ecdsa-p256', 'rsa'] as const).map((keyKind) =>
  rawLeaf(ca, {
    keys: generateKeyPair(keyKind),
    extensions: [
      keyUsage([keyKind === 'rsa' ? 'keyEncipherment' : 'keyAgreement']),
      subjectAltNames({ uris: ['spiffe://test/agent/1'] }),
    ],
  }),
);
const content = Buffer.from('content nobody else wrote');
const contentKey = new Uint8Array(32).fill(5);
const isCmsError = isA(CmsError);

/** What a signature does not cover never comes out. */
export const signedMessages: Target = {
  name: 'signed-messages',
  seeds: () => [signed('1.2.840.113549.1.7.1'), signed(CONFIGURATION_CONTENT_OID)],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const outcome = valueOrError(() => openSignedData(input), isCmsError);
    if ('error' in outcome) return kindOf(outcome.error);
    mustEqual('other content is taken for signed', outcome.value.content, content);
    mustEqual(
      'another key is taken for the one that signed',
      outcome.value.signer.publicKeyInfo,
      signer.certificate.publicKeyInfo,
    );
    const said = valueOrError(
      () => readConfigurationStatement(outcome.value.attributes),
      isCmsError,
    );
    if ('value' in said && said.value.version !== 7) broken('another version is taken for signed');
    return `signed, ${'error' in said ? kindOf(said.error) : 'with a statement'}`;
  },
};

/** Encrypted messages; of those with a tag, only what was sealed comes out. */
export const sealedMessages: Target = {
  name: 'sealed-messages',
  seeds: () => [
    ...recipients.map(({ certificate }) => sealMessage(certificate, content)),
    ...recipients.map(({ certificate }) => envelopedCbc(sealContentKey(certificate, contentKey))),
  ],
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const parsed = valueOrError(() => parseSealedMessage(input), isCmsError);
    if ('error' in parsed) return kindOf(parsed.error);
    const { encryption, recipientInfo, open } = parsed.value;
    const opened = valueOrError(() => open(unwrapped(recipientInfo)), isCmsError);
    if ('error' in opened) return `${encryption}, ${kindOf(opened.error)}`;
    if (encryption === 'aes-256-gcm') {
      mustEqual('other content is taken for sealed', opened.value, content);
    }
    return `${encryption}, opened`;
  },
};

/** What a sidecar is asked to unwrap: a key that was wrapped comes out, or nothing. */
export const recipientInfos: Target = {
  name: 'recipient-infos',
  seeds: () => recipients.map(({ certificate }) => sealContentKey(certificate, contentKey)),
  mutate: either(derMutator, byteMutator()),
  check(input) {
    const outcome = valueOrError(() => unwrapped(input), isCmsError);
    if ('error' in outcome) return kindOf(outcome.error);
    mustEqual('a key comes out that nobody wrapped', outcome.value, contentKey);
    return 'unwrapped';
  },
};

function unwrapped(recipientInfo: Uint8Array): Uint8Array {
  const info = parseRecipientInfo(recipientInfo);
  const recipient = recipients[info.tag === 'keyAgreement' ? 0 : 1];
  if (recipient === undefined) return broken('there is no recipient');
  return openContentKey(info, recipient);
}

function signed(contentType: string): Uint8Array {
  const signedAttributes = encodeSignedAttributes({
    contentType,
    messageDigest: hash('sha256', content),
    signingTime: new Date('2030-01-01T00:00:00Z'),
    others: encodeConfigurationStatement({
      agentId: '22222222-2d4b-4c63-9a57-6f1d5c1f0e11',
      version: 7,
      notAfter: new Date('2031-01-01T00:00:00Z'),
    }),
  });
  const { certificate, privateKey } = signer;
  const scheme = 0x0403;
  const signature = signIssued(privateKey, scheme, signedAttributes);
  const signerInfo = encodeSignerInfo({ certificate, signedAttributes, scheme, signature });
  return encodeSignedData({ contentType, content, certificates: [signer.der, ca.der], signerInfo });
}

/** As others make them: we only open such. */
function envelopedCbc(recipientInfo: Uint8Array): Uint8Array {
  const iv = new Uint8Array(16).fill(3);
  const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()]);
  return encodeContentInfo({
    contentType: ContentTypeOid.envelopedData,
    content: der.sequence(
      der.integer(recipientInfo[0] === Tag.sequence ? 0 : 2),
      der.element(Tag.set, recipientInfo),
      der.sequence(
        der.objectIdentifier(ContentTypeOid.data),
        der.sequence(
          der.objectIdentifier(ContentEncryptionOid['aes-256-cbc']),
          der.octetString(iv),
        ),
        der.element(Tag.context(0), ciphertext),
      ),
    ),
  });
}
