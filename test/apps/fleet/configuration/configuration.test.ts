import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  type ConfigurationOpener,
  ConfigurationRefusedError,
  ConfigurationSealError,
  MAX_INFLATED_BYTES,
  MAX_SEALED_BYTES,
  openConfiguration,
  type OpenOptions,
  sealConfiguration,
  type SealOptions,
} from '../../../../src/apps/fleet/configuration/index.ts';
import { hash } from '../../../../src/crypto/hash.ts';
import { createOffload, type Offload } from '../../../../src/offload/index.ts';
import { CmsError, sealMessage } from '../../../../src/pki/cms/index.ts';
import { parseCertificate } from '../../../../src/pki/index.ts';
import { startTestSidecar, type TestSidecar } from '../../../sidecar/fixture.ts';
import { type EnrolledHost, enrolledHost } from '../../../support/message-parties.ts';
import { openSsl } from '../../../support/openssl.ts';
import { createTestCa, type TestCa } from '../../../support/test-ca.ts';
import { localSigner } from './local-workload.ts';

const uuid = {
  manager: '11111111-2d4b-4c63-9a57-6f1d5c1f0e11',
  agent: '22222222-2d4b-4c63-9a57-6f1d5c1f0e11',
  other: '33333333-2d4b-4c63-9a57-6f1d5c1f0e11',
};
const hour = 3_600_000;
const content = Buffer.from(
  JSON.stringify({ labels: { site: 'north' }, secrets: { a: 'canary' } }),
);

describe('a configuration that a manager seals for an agent', () => {
  let ca: TestCa;
  let sidecar: TestSidecar;
  let offload: Offload;
  let manager: EnrolledHost;
  let agent: EnrolledHost;
  let other: EnrolledHost;
  let rsa: EnrolledHost;

  before(async () => {
    ca = createTestCa();
    manager = enrolledHost(ca, 'manager', uuid.manager, { tls: { intermediate: true } });
    agent = enrolledHost(ca, 'agent', uuid.agent);
    other = enrolledHost(ca, 'agent', uuid.other);
    rsa = enrolledHost(ca, 'agent', uuid.agent, { decryptionKind: 'rsa' });
    const sources = {
      manager: manager.source,
      agent: agent.source,
      other: other.source,
      rsa: rsa.source,
    };
    sidecar = await startTestSidecar({ ca, sources });
    offload = createOffload({ address: sidecar.address });
  });

  after(async () => {
    await offload.close();
    await sidecar.close();
  });

  function wholeSeconds(ms: number): Date {
    return new Date(Math.floor(ms / 1000) * 1000);
  }

  function seal(options: Partial<SealOptions> = {}): Promise<Uint8Array> {
    return sealConfiguration({
      content,
      agentId: uuid.agent,
      version: 3,
      notAfter: wholeSeconds(Date.now() + hour),
      recipientCertificate: agent.decryption.chain[0]!,
      workload: offload.workload,
      identity: 'manager',
      ...options,
    });
  }

  function open(der: Uint8Array, options: Partial<OpenOptions> = {}) {
    return openConfiguration({
      der,
      agentId: uuid.agent,
      now: new Date(),
      workload: offload.workload,
      identity: 'agent',
      ...options,
    });
  }

  async function refusal(opening: Promise<unknown>): Promise<string> {
    try {
      await opening;
    } catch (error) {
      if (!(error instanceof ConfigurationRefusedError)) throw error;
      expect(error.message).to.equal('the configuration is refused');
      return error.reason;
    }
    return expect.fail('it was not refused');
  }

  it('arrives as it was, with version, end and signer', async () => {
    const notAfter = wholeSeconds(Date.now() + hour);
    const { signedAt, ...opened } = await open(await seal({ notAfter }));
    expect(opened).to.deep.equal({
      content,
      version: 3,
      notAfter,
      signer: manager.spiffeId,
      contentHash: hash('sha256', content),
    });
    expect(Date.now() - signedAt.getTime()).to.be.within(-1000, 20_000);
  });

  it('arrives at an agent with an RSA key', async () => {
    const der = await seal({ recipientCertificate: rsa.decryption.chain[0]! });
    expect((await open(der, { identity: 'rsa' })).content).to.deep.equal(content);
  });

  for (const [name, bytes] of [
    ['no bytes', Buffer.alloc(0)],
    ['many zeros', Buffer.alloc(60_000)],
    ['much text', Buffer.from(Array.from({ length: 40_000 }, (_none, n) => String(n)).join(' '))],
  ] as const) {
    it(`may be ${name}`, async () => {
      expect((await open(await seal({ content: bytes }))).content).to.deep.equal(bytes);
    });
  }

  it('is different bytes each time', async () => {
    expect(await seal()).not.to.deep.equal(await seal());
  });

  describe('is refused', () => {
    it('when signed by an agent', async () => {
      const der = await seal({ workload: localSigner(other.tls) });
      expect(await refusal(open(der))).to.equal('signer_refused');
    });

    it('when signed under another CA', async () => {
      const foreign = enrolledHost(createTestCa(), 'manager', uuid.manager);
      const der = await seal({ workload: localSigner(foreign.tls) });
      expect(await refusal(open(der))).to.equal('signer_refused');
    });

    it("when signed with another's key under the manager's name", async () => {
      const { chain } = manager.tls;
      const workload = localSigner({ ...other.tls, chain });
      expect(await refusal(open(await seal({ workload })))).to.equal('signature_invalid');
    });

    it('when the manager was revoked', async () => {
      const der = await seal();
      agent.source.revocations.add({ spiffeId: manager.spiffeId, reason: 'keyCompromise' });
      expect(await refusal(open(der))).to.equal('signer_refused');
      agent.source.revocations.replace();
      await open(der);
    });

    it('when it is not signed', async () => {
      const recipient = parseCertificate(agent.decryption.chain[0]!);
      expect(await refusal(open(sealMessage(recipient, content)))).to.equal('signature_invalid');
      const twice = sealMessage(recipient, await seal());
      expect(await refusal(open(twice))).to.equal('not_signed');
    });

    it('when signed for another agent, and sealed for this one', async () => {
      const path = `spiffe://fleet.test/agent/${uuid.other}`;
      const { chain } = ca.issue({
        uris: [path],
        keyPair: agent.decryption,
        keyUsage: ['keyAgreement'],
      });
      agent.source.decryption = { ...agent.source.decryption!, chain };
      try {
        const der = await seal({ agentId: uuid.other, recipientCertificate: chain[0]! });
        expect(await refusal(open(der))).to.equal('other_agent');
      } finally {
        agent.source.decryption = { ...agent.source.decryption, chain: agent.decryption.chain };
      }
    });

    it('by another recipient', async () => {
      const der = await seal();
      const options = { identity: 'other', agentId: uuid.other };
      expect(await refusal(open(der, options))).to.equal('not_for_this_host');
    });

    it('when it has expired', async () => {
      const notAfter = wholeSeconds(Date.now() + hour);
      const der = await seal({ notAfter });
      await open(der, { now: notAfter });
      const now = new Date(notAfter.getTime() + 1);
      expect(await refusal(open(der, { now }))).to.equal('expired');
    });

    it('when it was signed in the future', async () => {
      const der = await seal();
      const now = new Date(Date.now() - hour);
      expect(await refusal(open(der, { now }))).to.equal('signed_in_the_future');
    });

    it('when it is encrypted with AES-256-CBC and not signed', async () => {
      const openssl = openSsl();
      try {
        const out = openssl.file('out', '');
        const { status, output } = openssl.run(
          ...['cms', '-encrypt', '-binary', '-in', openssl.file('in', content), '-outform', 'DER'],
          ...['-out', out, '-aes-256-cbc'],
          ...['-recip', openssl.pem('recip.pem', 'CERTIFICATE', agent.decryption.chain[0]!)],
          ...['-keyopt', 'ecdh_kdf_md:sha256', '-aes256-wrap'],
        );
        expect(status, output).to.equal(0);
        expect(await refusal(open(readFileSync(out)))).to.equal('signature_invalid');
      } finally {
        openssl.close();
      }
    });

    it('when it inflates to more than the agent takes', async () => {
      const der = await seal({ content: Buffer.alloc(60_000) });
      expect(await refusal(open(der, { maxInflatedBytes: 59_999 }))).to.equal('inflation_refused');
      await open(der, { maxInflatedBytes: 60_000 });
    });

    it('when it is longer than the wire takes', async () => {
      expect(await refusal(open(new Uint8Array(MAX_SEALED_BYTES + 1)))).to.equal('too_large');
    });
  });

  it('that nobody could judge is no refusal: a sidecar that is away is tried again', async () => {
    const der = await seal();
    const away = createOffload({ address: 'unix:/nonexistent/sidecar.sock' });
    try {
      const error: unknown = await open(der, { workload: away.workload }).catch(
        (reason: unknown) => reason,
      );
      expect(error).to.include({ code: 'ERR_OFFLOAD_UNAVAILABLE' });
    } finally {
      await away.close();
    }
  });

  describe('is not even sealed', () => {
    async function sealError(options: Partial<SealOptions>): Promise<string> {
      try {
        await seal(options);
      } catch (error) {
        if (error instanceof ConfigurationSealError || error instanceof CmsError) {
          return error.message;
        }
        throw error;
      }
      return expect.fail('it was sealed');
    }

    it("with another agent's certificate", async () => {
      const recipientCertificate = other.decryption.chain[0]!;
      expect(await sealError({ recipientCertificate })).to.match(/is not of agent 22222222/u);
    });

    it('with the certificate for TLS', async () => {
      const recipientCertificate = agent.tls.chain[0]!;
      expect(await sealError({ recipientCertificate })).to.match(/is not for keyAgreement/u);
    });

    it('with a certificate that expired', async () => {
      const { chain } = ca.issue({
        uris: [agent.spiffeId],
        keyUsage: ['keyAgreement'],
        notAfter: new Date(Date.now() - hour / 2),
      });
      expect(await sealError({ recipientCertificate: chain[0]! })).to.match(/is valid from/u);
    });

    it('with bytes that are no certificate', async () => {
      const recipientCertificate = Buffer.from('certificate');
      expect(await sealError({ recipientCertificate })).to.match(/^the certificate for/u);
    });

    it('when it would be a bomb to the agent', async () => {
      expect(await sealError({ content: Buffer.alloc(1_000_000) })).to.match(/compresses so well/u);
      const huge = Buffer.alloc(MAX_INFLATED_BYTES + 1);
      expect(await sealError({ content: huge })).to.match(/longer than 8388608 bytes/u);
    });
  });

  it('leaves no content and no key in any log line or error', async () => {
    const contentKeys: Buffer[] = [];
    const workload: ConfigurationOpener = {
      verifySigner: (signer) => offload.workload.verifySigner(signer),
      unwrapKey: async (wrapped) => {
        const answer = await offload.workload.unwrapKey(wrapped);
        contentKeys.push(Buffer.from(answer.contentKey));
        return answer;
      },
    };
    const der = await seal();
    const changed = Uint8Array.from(der);
    changed[der.length - 1]! ^= 1;
    await open(der, { workload });
    const failures = await Promise.all(
      [
        open(changed, { workload }),
        open(der, { workload, agentId: uuid.other }),
        open(der, { workload, now: new Date('2050-01-01T00:00:00Z') }),
        open(await seal({ workload: localSigner(other.tls) }), { workload }),
        open(await seal({ content: Buffer.alloc(9000, 'canary') }), {
          workload,
          maxInflatedBytes: 10,
        }),
        open(der, { workload, identity: 'other' }),
      ].map((opening) => opening.then(() => expect.fail('it was opened'), inspectError)),
    );
    const text = JSON.stringify(sidecar.log) + failures.join('\n');
    expect(text).to.include('content key unwrapped').and.include('configuration signed');
    expect(text).to.include('inflation_refused');
    expect(contentKeys).to.have.length(6);
    const privateKeys = [manager.tls, agent.tls, agent.decryption, rsa.decryption].map(
      // The middle of the key itself.
      ({ privateKey }) => privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(40, 60),
    );
    expect(leaks(text, Buffer.from('canary'))).to.deep.equal([]);
    for (const secret of [...contentKeys, ...privateKeys]) {
      expect(leaks(text, secret)).to.deep.equal([]);
    }
    // The search finds what is there.
    expect(leaks(`{"key":"${contentKeys[0]!.toString('hex')}"}`, contentKeys[0]!)).to.include(
      'hex',
    );
    expect(leaks(inspect({ key: contentKeys[0] }), contentKeys[0]!)).to.include('spaced');
  });

  it('is opened by openssl, in two steps', async () => {
    const openssl = openSsl();
    try {
      const key = openssl.file('agent.key', agent.decryption.privateKeyPem);
      const [signed, out] = [openssl.file('signed.der', ''), openssl.file('config.gz', '')];
      const decrypt = openssl.run(
        ...['cms', '-decrypt', '-inform', 'DER', '-in', openssl.file('sealed.der', await seal())],
        ...['-inkey', key, '-binary', '-out', signed],
        ...['-recip', openssl.pem('agent.pem', 'CERTIFICATE', agent.decryption.chain[0]!)],
      );
      expect(decrypt.status, decrypt.output).to.equal(0);
      const verify = openssl.run(
        ...['cms', '-verify', '-inform', 'DER', '-in', signed, '-binary', '-out', out],
        ...['-CAfile', openssl.file('roots.pem', ca.pem), '-purpose', 'any'],
      );
      expect(verify.status, verify.output).to.equal(0);
      expect(gunzipSync(readFileSync(out))).to.deep.equal(content);
    } finally {
      openssl.close();
    }
  });
});

/** Everything an error would tell to whoever prints it. */
function inspectError(error: unknown): string {
  return inspect(error, { depth: 10, showHidden: true });
}

/** In which forms a secret is in a text. */
function leaks(text: string, secret: Buffer): readonly string[] {
  const hex = secret.toString('hex');
  const forms = {
    hex,
    // As `inspect` shows a Buffer; the start is enough.
    spaced: (hex.match(/../gu) ?? []).slice(0, 8).join(' '),
    // The first three quarters are the same whatever follows.
    base64: secret.toString('base64').slice(0, Math.floor(secret.length / 3) * 4),
    list: [...secret.subarray(0, 8)].join(','),
    latin1: secret.toString('latin1'),
  };
  return Object.entries(forms).flatMap(([name, form]) => (text.includes(form) ? [name] : []));
}
