import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { expect } from 'chai';
import { createOffload, type Offload, OffloadError } from '../../src/offload/index.ts';
import { hash } from '../../src/crypto/hash.ts';
import {
  CONFIGURATION_CONTENT_OID,
  encodeSignedData,
  openSignedData,
  readConfigurationStatement,
} from '../../src/pki/cms/index.ts';
import { sealContentKey } from '../../src/pki/cms/recipient-info.ts';
import { parseCertificate } from '../../src/pki/index.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { createTestCa, type TestCa } from '../support/test-ca.ts';
import { type EnrolledHost, enrolledHost, fleetId } from '../support/message-parties.ts';
import { startTestSidecar, type TestSidecar, type TestSidecarOptions } from './fixture.ts';

const uuid = {
  manager: '11111111-2d4b-4c63-9a57-6f1d5c1f0e11',
  agent: '22222222-2d4b-4c63-9a57-6f1d5c1f0e11',
  other: '33333333-2d4b-4c63-9a57-6f1d5c1f0e11',
};
const content = Buffer.from('compressed content');
const digests = {
  contentSha256: hash('sha256', content),
  contentSha384: hash('sha384', content),
  contentSha512: hash('sha512', content),
};
const hour = 3_600_000;

describe('messages signed and encrypted by way of a sidecar', () => {
  let ca: TestCa;
  let sidecar: TestSidecar;
  let offload: Offload;
  let hosts: Record<'manager' | 'agent' | 'other' | 'rsa', EnrolledHost>;

  before(() => {
    ca = createTestCa();
  });

  async function start(options: TestSidecarOptions = {}): Promise<void> {
    hosts = {
      manager: enrolledHost(ca, 'manager', uuid.manager),
      agent: enrolledHost(ca, 'agent', uuid.agent),
      other: enrolledHost(ca, 'agent', uuid.other),
      rsa: enrolledHost(ca, 'agent', uuid.other, { decryptionKind: 'rsa' }),
    };
    const entries = Object.entries(hosts).map(([name, { source }]) => [name, source] as const);
    sidecar = await startTestSidecar({ ca, sources: Object.fromEntries(entries), ...options });
    offload = createOffload({ address: sidecar.address });
  }

  beforeEach(() => start());

  afterEach(async () => {
    await offload.close();
    await sidecar.close();
  });

  async function refused(call: Promise<unknown>): Promise<OffloadError> {
    return await call.then(
      () => expect.fail('it was not refused'),
      (error: unknown) => {
        if (error instanceof OffloadError) return error;
        throw error;
      },
    );
  }

  const statement = () => ({
    agentId: uuid.agent,
    version: 7,
    notAfter: new Date(Math.ceil(Date.now() / 1000) * 1000 + hour),
  });

  describe('SignConfiguration', () => {
    for (const keyKind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa'] as const) {
      it(`signs agent, version, end and time with a key of ${keyKind}`, async () => {
        hosts.manager.source.use(
          ca.issue({
            uris: [fleetId('manager', uuid.manager)],
            keyKind: keyKind satisfies KeyKind,
          }),
        );
        const asked = statement();
        const signature = await offload.workload.signConfiguration({
          identity: 'manager',
          ...digests,
          ...asked,
        });
        const contentType = CONFIGURATION_CONTENT_OID;
        const opened = openSignedData(encodeSignedData({ contentType, content, ...signature }));
        const { signingTime, ...said } = readConfigurationStatement(opened.attributes);
        expect(said).to.deep.equal(asked);
        expect(Date.now() - signingTime.getTime()).to.be.within(-1000, 20_000);
        expect(sidecar.log.at(-1)).to.include({ msg: 'configuration signed', version: 7 });
      });
    }

    it('signs for managers only', async () => {
      const call = offload.workload.signConfiguration({
        identity: 'agent',
        ...digests,
        ...statement(),
      });
      expect(await refused(call)).to.include({
        code: 'ERR_OFFLOAD_DENIED',
        reason: 'not_a_manager',
      });
    });

    const invalid: readonly (readonly [string, object])[] = [
      ['an agent id in upper case', { agentId: uuid.agent.replace('d', 'D') }],
      ['an agent id of another form', { agentId: 'host-1' }],
      ['version 0', { version: 0 }],
      ['version 2^53', { version: 2 ** 53 }],
      ['an end in the past', { notAfter: new Date(Date.now() - 1) }],
      ['an end years ahead', { notAfter: new Date(Date.now() + 500 * 24 * hour) }],
      ['a digest cut short', { contentSha256: digests.contentSha256.subarray(1) }],
      ['bytes that are no digest', { contentSha256: Buffer.alloc(64) }],
    ];
    for (const [name, change] of invalid) {
      it(`refuses ${name}`, async () => {
        const asked = { identity: 'manager', ...digests, ...statement(), ...change };
        expect(await refused(offload.workload.signConfiguration(asked))).to.include({
          code: 'ERR_OFFLOAD_POLICY',
          reason: 'configuration_invalid',
        });
      });
    }
  });

  describe('VerifySigner', () => {
    const verify = (certificates: readonly Uint8Array[], requiredRole = 'manager') =>
      offload.workload.verifySigner({ identity: 'agent', certificates, requiredRole });

    it('says who a manager is', async () => {
      const { spiffeId } = await verify(hosts.manager.tls.chain);
      expect(spiffeId).to.equal(fleetId('manager', uuid.manager));
    });

    it('completes a chain by an intermediate that came with it', async () => {
      const uris = [fleetId('manager', uuid.manager)];
      await verify(ca.issue({ uris, intermediate: true }).chain);
    });

    const refusals: readonly (readonly [string, RegExp, () => readonly Uint8Array[]])[] = [
      ['an agent', /no manager/u, () => hosts.other.tls.chain],
      [
        'somebody else’s CA',
        /./u,
        () => createTestCa().issue({ uris: [fleetId('manager', uuid.manager)] }).chain,
      ],
      [
        'another trust domain',
        /trust domain/u,
        () => ca.issue({ uris: [`spiffe://elsewhere.test/manager/${uuid.manager}`] }).chain,
      ],
      [
        'a role further down the path',
        /no manager/u,
        () => ca.issue({ uris: [`spiffe://fleet.test/agent/manager`] }).chain,
      ],
      [
        'a path of more segments',
        /no manager/u,
        () => ca.issue({ uris: [`spiffe://fleet.test/manager/x/y`] }).chain,
      ],
      ['no SPIFFE ID', /trust domain/u, () => ca.issue({ dnsNames: ['manager.test'] }).chain],
      [
        'an expired certificate',
        /expired/u,
        () =>
          ca.issue({
            uris: [fleetId('manager', uuid.manager)],
            notAfter: new Date(Date.now() - 2000),
          }).chain,
      ],
      ['the certificate for decryption', /./u, () => hosts.manager.decryption.chain],
      ['no certificate', /empty/u, () => []],
      ['bytes that are no certificate', /./u, () => [Buffer.from('certificate')]],
    ];
    for (const [name, detail, chain] of refusals) {
      it(`refuses ${name}`, async () => {
        const error = await refused(verify(chain()));
        expect(error).to.include({ code: 'ERR_OFFLOAD_POLICY', reason: 'signer_refused' });
        expect(error.message).to.match(detail);
      });
    }

    it('refuses a manager that was revoked, by certificate or by name', async () => {
      const { serialNumber } = parseCertificate(hosts.manager.tls.chain[0]!);
      const leading = serialNumber.findIndex((byte) => byte !== 0);
      const revocations = hosts.agent.source.revocations;
      revocations.add({ serial: serialNumber.subarray(leading), reason: 'keyCompromise' });
      expect(await refused(verify(hosts.manager.tls.chain))).to.include({
        reason: 'signer_refused',
      });
      revocations.replace({ spiffeId: hosts.manager.spiffeId, reason: 'keyCompromise' });
      expect(await refused(verify(hosts.manager.tls.chain))).to.include({
        reason: 'signer_refused',
      });
      revocations.replace();
      await verify(hosts.manager.tls.chain);
    });

    it('wants a role to be named', async () => {
      for (const role of ['', 'Manager', '*', 'manager/x']) {
        expect(await refused(verify(hosts.manager.tls.chain, role))).to.include({
          reason: 'role_missing',
        });
      }
    });
  });

  describe('UnwrapKey', () => {
    const contentKey = randomBytes(32);
    const wrapFor = (host: EnrolledHost) =>
      sealContentKey(parseCertificate(host.decryption.chain[0]!), contentKey);
    const unwrap = (recipientInfo: Uint8Array, identity = 'agent') =>
      offload.workload.unwrapKey({ identity, recipientInfo, contentEncryption: 'aes-256-gcm' });

    for (const name of ['agent', 'rsa'] as const) {
      it(`unwraps what was wrapped for ${name}, and logs it`, async () => {
        const answer = await unwrap(wrapFor(hosts[name]), name);
        expect(answer.contentKey).to.deep.equal(contentKey);
        const entry = sidecar.log.at(-1);
        expect(entry).to.include({
          msg: 'content key unwrapped',
          unwrapId: answer.unwrapId,
          identity: name,
          caller: `uid:${String(userInfo().uid)}`,
        });
        expect(answer.unwrapId).to.match(/^[0-9a-f]{12}-/u);
      });
    }

    it('has one answer for whatever is wrong', async () => {
      const good = wrapFor(hosts.agent);
      const rsa = wrapFor(hosts.rsa);
      const changed = (bytes: Uint8Array, at: number) => {
        const copy = Uint8Array.from(bytes);
        copy[copy.length + at]! ^= 1;
        return copy;
      };
      const cases: readonly (readonly [Uint8Array, string])[] = [
        [wrapFor(hosts.other), 'agent'],
        [wrapFor(hosts.rsa), 'agent'],
        [changed(good, -1), 'agent'],
        [changed(good, -60), 'agent'],
        [changed(rsa, -1), 'rsa'],
        [changed(rsa, -256), 'rsa'],
        [good.subarray(1), 'agent'],
        [Buffer.concat([good, Buffer.of(0)]), 'agent'],
        [new Uint8Array(0), 'agent'],
        [new Uint8Array(5000), 'agent'],
      ];
      const answers = new Set<string>();
      for (const [recipientInfo, identity] of cases) {
        const { code, reason, message } = await refused(unwrap(recipientInfo, identity));
        answers.add(`${code} ${reason ?? ''} ${message}`);
      }
      expect([...answers]).to.deep.equal([
        'ERR_OFFLOAD_POLICY unwrap_refused the key cannot be unwrapped',
      ]);
      const reasons = sidecar.log
        .filter(({ msg }) => msg === 'content key not unwrapped')
        .map(({ reason }) => reason);
      expect(new Set(reasons)).to.deep.equal(
        new Set([
          'recipient_mismatch',
          'key_unwrap_failed',
          'malformed',
          'unsupported_recipient',
          'too_large',
        ]),
      );
      expect(reasons).to.have.length(cases.length);
    });

    it('unwraps for AES-256-GCM and AES-256-CBC and nothing else', async () => {
      const recipientInfo = wrapFor(hosts.agent);
      const answer = await offload.workload.unwrapKey({
        identity: 'agent',
        recipientInfo,
        contentEncryption: 'aes-256-cbc',
      });
      expect(answer.contentKey).to.deep.equal(contentKey);
      const call = offload.workload.unwrapKey({
        identity: 'agent',
        recipientInfo,
        contentEncryption: 'aes-256-ecb' as 'aes-256-cbc',
      });
      expect(await refused(call)).to.include({ reason: 'unwrap_refused' });
    });

    it('unwraps what was wrapped for the key that a renewal has just replaced, and for none before', async () => {
      const { source, decryption } = enrolledHost(ca, 'agent', hosts.agent.spiffeId.slice(-36));
      const before = hosts.agent.source.decryption!;
      const wrapped = wrapFor(hosts.agent);
      try {
        hosts.agent.source.decryption = source.decryption;
        expect(await refused(unwrap(wrapped))).to.include({ reason: 'unwrap_refused' });
        hosts.agent.source.retiredDecryption = before;
        expect((await unwrap(wrapped)).contentKey).to.deep.equal(contentKey);
        const now = sealContentKey(parseCertificate(decryption.chain[0]!), contentKey);
        expect((await unwrap(now)).contentKey).to.deep.equal(contentKey);
        expect(await refused(unwrap(wrapFor(hosts.rsa)))).to.include({ reason: 'unwrap_refused' });
      } finally {
        hosts.agent.source.decryption = before;
        hosts.agent.source.retiredDecryption = undefined;
      }
    });

    it('has no use for the key for TLS', async () => {
      const forTls = sealContentKey(
        // The authority never gives such a usage to it; somebody might ask all the same.
        parseCertificate(
          ca.issue({
            uris: [hosts.agent.spiffeId],
            keyPair: hosts.agent.tls,
            keyUsage: ['keyAgreement'],
          }).chain[0]!,
        ),
        contentKey,
      );
      expect(await refused(unwrap(forTls))).to.include({ reason: 'unwrap_refused' });
    });

    it('says so where there is no key for decryption', async () => {
      hosts.agent.source.decryption = undefined;
      expect(await refused(unwrap(new Uint8Array(1)))).to.include({ reason: 'no_decryption_key' });
    });

    it('takes only so many calls at once', async () => {
      await offload.close();
      await sidecar.close();
      let now = Date.now();
      await start({ now: () => new Date(now) });
      const wrapped = wrapFor(hosts.agent);
      const attempts = async (count: number) => {
        const calls = Array.from({ length: count }, () =>
          unwrap(wrapped).then(() => 'unwrapped', reasonOf),
        );
        const outcomes = await Promise.all(calls);
        return ['unwrapped', 'too_many_calls'].map(
          (wanted) => outcomes.filter((one) => one === wanted).length,
        );
      };
      expect(await attempts(410)).to.deep.equal([400, 10]);
      now += 50;
      expect(await attempts(20)).to.deep.equal([10, 10]);
    });

    it('lists the certificate to encrypt for', async () => {
      const { identities } = await offload.listIdentities();
      const agent = identities.find(({ name }) => name === 'agent');
      expect(agent?.decryptionCertificates.map((der) => Buffer.from(der))).to.deep.equal(
        hosts.agent.decryption.chain.map((der) => Buffer.from(der)),
      );
    });
  });

  describe('a caller with a rule', () => {
    it('has the identities of that rule and no others', async () => {
      await offload.close();
      await sidecar.close();
      const uid = String(userInfo().uid);
      await start({ allow: `[{ uid: ${uid}, identities: [agent] }]` });
      const recipientInfo = sealContentKey(
        parseCertificate(hosts.other.decryption.chain[0]!),
        randomBytes(32),
      );
      const calls = [
        offload.workload.unwrapKey({
          identity: 'other',
          recipientInfo,
          contentEncryption: 'aes-256-gcm',
        }),
        offload.workload.signConfiguration({ identity: 'manager', ...digests, ...statement() }),
        offload.workload.verifySigner({
          identity: 'other',
          certificates: hosts.manager.tls.chain,
          requiredRole: 'manager',
        }),
      ];
      for (const call of calls) {
        expect(await refused(call)).to.include({
          code: 'ERR_OFFLOAD_DENIED',
          reason: 'identity_not_allowed',
        });
      }
    });
  });
});

function reasonOf(error: unknown): string | undefined {
  return error instanceof OffloadError ? error.reason : String(error);
}
