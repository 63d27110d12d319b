import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import {
  CONFIGURATION_CONTENT_OID,
  encodeConfigurationStatement,
  encodeSignedData,
  openContentKey,
  openSignedData,
  parseRecipientInfo,
  parseSealedMessage,
  sealMessage,
} from '../../../src/pki/cms/index.ts';
import { type OpenSsl, openSsl } from '../../support/openssl.ts';
import { createTestCa, type TestCa } from '../../support/test-ca.ts';
import { type Party, recipientOf, refusal, signerInfoOf, signerOf } from './support.ts';

const content = Buffer.from('labels: { site: "north" }\r\n\u0000\n'.repeat(50));

describe('openssl cms and ours', () => {
  let openssl: OpenSsl;
  let ca: TestCa;

  before(() => {
    openssl = openSsl();
    ca = createTestCa();
  });

  after(() => {
    openssl.close();
  });

  function files(name: string, { chain, privateKeyPem }: Party) {
    return {
      certificate: openssl.pem(`${name}.pem`, 'CERTIFICATE', chain[0]!),
      key: openssl.file(`${name}.key`, privateKeyPem),
      data: openssl.file(`${name}.in`, content),
      out: openssl.file(`${name}.out`, ''),
    };
  }

  function succeed(...args: readonly string[]): void {
    const { status, output } = openssl.run(...args);
    expect(status, output).to.equal(0);
  }

  function open(der: Uint8Array, { certificate, privateKey }: Party): Uint8Array {
    const message = parseSealedMessage(der);
    const info = parseRecipientInfo(message.recipientInfo);
    return message.open(openContentKey(info, { certificate, privateKey }));
  }

  const ecdh = ['-keyopt', 'ecdh_kdf_md:sha256', '-aes256-wrap'];
  const oaep = ['-keyopt', 'rsa_padding_mode:oaep', '-keyopt', 'rsa_oaep_md:sha256'];

  for (const kind of ['ecdsa-p256', 'rsa'] as const) {
    describe(`a recipient with a key of ${kind}`, () => {
      let recipient: Party;

      before(() => {
        recipient = recipientOf(ca, kind);
      });

      it('openssl decrypts what we encrypt', () => {
        const { certificate, key, out } = files(`ours-${kind}`, recipient);
        const sealed = openssl.file(
          `ours-${kind}.der`,
          sealMessage(recipient.certificate, content),
        );
        succeed(
          ...['cms', '-decrypt', '-inform', 'DER', '-in', sealed, '-binary'],
          ...['-recip', certificate, '-inkey', key, '-out', out],
        );
        expect(readFileSync(out)).to.deep.equal(content);
      });

      for (const cipher of ['aes-256-gcm', 'aes-256-cbc']) {
        for (const byKeyId of [false, true]) {
          const how = `${cipher}${byKeyId ? ' and names the key' : ''}`;
          it(`we decrypt what openssl encrypts with ${how}`, () => {
            const name = `theirs-${kind}-${cipher}`;
            const { certificate, data, out } = files(name, recipient);
            succeed(
              ...['cms', '-encrypt', '-binary', '-in', data, '-outform', 'DER', '-out', out],
              ...[`-${cipher}`, ...(byKeyId ? ['-keyid'] : []), '-recip', certificate],
              ...(kind === 'rsa' ? oaep : ecdh),
            );
            const der = readFileSync(out);
            expect(parseSealedMessage(der).encryption).to.equal(cipher);
            expect(open(der, recipient)).to.deep.equal(content);
          });
        }
      }

      it('what openssl does of itself, SHA-1 or PKCS #1 v1.5, is refused', () => {
        const { certificate, data, out } = files(`default-${kind}`, recipient);
        succeed(
          ...['cms', '-encrypt', '-binary', '-in', data, '-outform', 'DER', '-out', out],
          ...['-aes-256-gcm', '-recip', certificate],
        );
        const der = readFileSync(out);
        expect(refusal(() => parseSealedMessage(der))).to.equal('unsupported_algorithm');
      });
    });
  }

  const signers = ['ecdsa-p256', 'ecdsa-p384', 'rsa'] as const;
  for (const kind of signers) {
    describe(`a signer with a key of ${kind}`, () => {
      let signer: Party;

      before(() => {
        signer = signerOf(ca, kind);
      });

      it('openssl verifies what we sign, with attributes of our own', () => {
        const statement = encodeConfigurationStatement({
          agentId: '3f2c9f0e-2d4b-4c63-9a57-6f1d5c1f0e11',
          version: 7,
          notAfter: new Date('2040-01-01T00:00:00Z'),
        });
        const contentType = CONFIGURATION_CONTENT_OID;
        const der = encodeSignedData({
          contentType,
          content,
          certificates: signer.chain,
          signerInfo: signerInfoOf(signer, contentType, content, statement),
        });
        const { out } = files(`signed-${kind}`, signer);
        succeed(
          ...['cms', '-verify', '-inform', 'DER', '-binary', '-purpose', 'any'],
          ...['-in', openssl.file(`signed-${kind}.der`, der), '-out', out],
          ...['-CAfile', openssl.file('ca.pem', ca.pem)],
        );
        expect(readFileSync(out)).to.deep.equal(content);
      });

      for (const type of [CONFIGURATION_CONTENT_OID, '1.2.840.113549.1.7.1']) {
        for (const byKeyId of [false, true]) {
          it(`we verify what openssl signs${byKeyId ? ' by key identifier' : ''}: ${type}`, () => {
            const { certificate, key, data, out } = files(`sign-${kind}`, signer);
            succeed(
              ...['cms', '-sign', '-binary', '-nodetach', '-in', data, '-outform', 'DER'],
              ...['-out', out, '-econtent_type', type, '-signer', certificate, '-inkey', key],
              ...['-md', kind === 'ecdsa-p384' ? 'sha384' : 'sha256'],
              ...(byKeyId ? ['-keyid'] : []),
              ...(kind === 'rsa'
                ? ['-keyopt', 'rsa_padding_mode:pss', '-keyopt', 'rsa_pss_saltlen:32']
                : []),
            );
            const opened = openSignedData(readFileSync(out));
            expect(opened.contentType).to.equal(type);
            expect(opened.content).to.deep.equal(new Uint8Array(content));
            expect(opened.signer.der).to.deep.equal(signer.certificate.der);
            expect(opened.attributes.signingTime).to.be.an.instanceof(Date);
          });
        }
      }
    });
  }

  it('we refuse what openssl signs without attributes, detached, twice, or with PKCS #1 v1.5', () => {
    const signer = signerOf(ca, 'rsa');
    const other = signerOf(ca, 'ecdsa-p256', 'other');
    const one = files('one', signer);
    const two = files('two', other);
    const sign = (...args: readonly string[]) => {
      succeed(
        ...['cms', '-sign', '-binary', '-in', one.data, '-outform', 'DER', '-out', one.out],
        ...['-md', 'sha256', ...args],
      );
      return refusal(() => openSignedData(readFileSync(one.out)));
    };
    const ec = ['-signer', two.certificate, '-inkey', two.key];
    expect(sign('-nodetach', '-noattr', ...ec)).to.equal('not_signed');
    expect(sign(...ec)).to.equal('content_detached');
    expect(sign('-nodetach', '-nocerts', ...ec)).to.equal('signer_missing');
    const rsa = ['-signer', one.certificate, '-inkey', one.key];
    expect(sign('-nodetach', ...rsa)).to.equal('unsupported_algorithm');
    expect(sign('-nodetach', ...ec, ...rsa)).to.equal('several_signers');
  });
});
