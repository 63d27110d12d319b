import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import {
  admitVersion,
  ConfigurationRefusedError,
  openConfiguration,
  sealConfiguration,
} from '../../../../src/apps/fleet/configuration/index.ts';
import { inflate, inflationLimit } from '../../../../src/apps/fleet/configuration/inflation.ts';
import { enrolledHost } from '../../../support/message-parties.ts';
import { createTestCa } from '../../../support/test-ca.ts';
import { localOpener, localSigner } from './local-workload.ts';

const agentId = '22222222-2d4b-4c63-9a57-6f1d5c1f0e11';

describe('a sealed configuration that somebody changed', function () {
  this.timeout(120_000);
  const ca = createTestCa();
  const manager = enrolledHost(ca, 'manager', '11111111-2d4b-4c63-9a57-6f1d5c1f0e11').tls;

  for (const decryptionKind of ['ecdsa-p256', 'rsa'] as const) {
    describe(`for a key of ${decryptionKind}`, () => {
      const agent = enrolledHost(ca, 'agent', agentId, { decryptionKind }).decryption;
      const workload = localOpener(agent, manager);
      let der: Uint8Array;

      before(async () => {
        der = await sealConfiguration({
          content: Buffer.from('{"labels":{"site":"north"}}'),
          agentId,
          version: 1,
          notAfter: new Date('2040-01-01T00:00:00Z'),
          recipientCertificate: agent.chain[0]!,
          workload: localSigner(manager),
        });
      });

      /** Why it was refused: always as one kind of error with one message. */
      async function refusal(changed: Uint8Array): Promise<string> {
        try {
          await openConfiguration({ der: changed, agentId, now: new Date(), workload });
        } catch (error) {
          if (!(error instanceof ConfigurationRefusedError)) throw error;
          expect(error.message).to.equal('the configuration is refused');
          expect(Object.keys(error)).to.deep.equal(['name', 'reason', 'detail']);
          return error.reason;
        }
        return expect.fail('it was opened');
      }

      it('opens as it is', async () => {
        const { version } = await openConfiguration({ der, agentId, now: new Date(), workload });
        expect(version).to.equal(1);
      });

      it('is refused for every bit', async () => {
        const reasons = new Map<string, number>();
        // What differs for RSA is the RecipientInfo: a third of the bits, at every place in a byte.
        const stride = decryptionKind === 'rsa' ? 3 : 1;
        for (let bit = 0; bit < der.length * 8; bit += stride) {
          const changed = Uint8Array.from(der);
          changed[bit >> 3]! ^= 1 << (bit & 7);
          const reason = await refusal(changed);
          reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
        }
        expect([...reasons.keys()].sort()).to.deep.equal([
          'not_decrypted',
          'not_encrypted',
          'not_for_this_host',
        ]);
        expect(workload.unwrapped(), 'keys that came out').to.equal(1);
      });

      it('is refused cut short at every byte, and with bytes behind', async () => {
        for (let length = 0; length < der.length; length += 1) {
          expect(await refusal(der.subarray(0, length))).to.equal('not_encrypted');
        }
        for (const extra of [Buffer.of(0), Buffer.of(0x30, 0), der]) {
          expect(await refusal(Buffer.concat([der, extra]))).to.equal('not_encrypted');
        }
      });
    });
  }
});

describe('inflation', () => {
  const limit = 8 * 1024 * 1024;

  it('gives what one gzip member stands for', async () => {
    const content = randomBytes(100_000);
    expect(await inflate(gzipSync(content), limit)).to.deep.equal(content);
  });

  it('bounds size and ratio', async () => {
    const bomb = gzipSync(Buffer.alloc(1_000_000));
    expect(bomb.length).to.be.below(2000);
    expect(await inflate(bomb, limit)).to.equal(undefined);
    const large = gzipSync(randomBytes(100_000));
    expect(await inflate(large, 99_999)).to.equal(undefined);
    expect(inflationLimit(10, limit)).to.equal(65_536);
    expect(inflationLimit(1000, limit)).to.equal(100_000);
    expect(inflationLimit(1_000_000, limit)).to.equal(limit);
  });

  it('refuses what is cut short, followed by anything, or no gzip', async () => {
    const good = gzipSync('configuration');
    for (const bytes of [
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.of(0)]),
      Buffer.concat([good, Buffer.from('trailing')]),
      Buffer.from('configuration'),
      new Uint8Array(0),
    ]) {
      expect(await inflate(bytes, limit)).to.equal(undefined);
    }
  });
});

describe('admitting a version', () => {
  const one = new Uint8Array(32).fill(1);
  const two = new Uint8Array(32).fill(2);
  for (const [name, current, offered, verdict] of [
    ['the first', undefined, { version: 1, contentHash: one }, 'apply'],
    ['a newer one', { version: 1, contentHash: one }, { version: 2, contentHash: one }, 'apply'],
    ['a much newer', { version: 1, contentHash: one }, { version: 90, contentHash: two }, 'apply'],
    ['the same', { version: 4, contentHash: one }, { version: 4, contentHash: one }, 'unchanged'],
    ['an older', { version: 4, contentHash: one }, { version: 3, contentHash: one }, 'older'],
    [
      'another of the same version',
      { version: 4, contentHash: one },
      { version: 4, contentHash: two },
      'conflict',
    ],
  ] as const) {
    it(`says ${verdict} to ${name}`, () => {
      expect(admitVersion(current, offered)).to.equal(verdict);
    });
  }
});
