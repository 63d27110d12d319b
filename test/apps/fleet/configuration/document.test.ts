import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  openConfiguration,
  sealConfiguration,
} from '../../../../src/apps/fleet/configuration/index.ts';
import {
  CONFIGURATION_CONTENT_OID,
  ConfigurationAttributeOid,
} from '../../../../src/pki/cms/configuration-attributes.ts';
import { enrolledHost } from '../../../support/message-parties.ts';
import { createTestCa, toPem } from '../../../support/test-ca.ts';
import { localOpener, localSigner } from './local-workload.ts';

const text = readFileSync(
  new URL('../../../../doc/configuration-push.md', import.meta.url),
  'utf8',
);
const agentId = '22222222-2d4b-4c63-9a57-6f1d5c1f0e11';
const content = Buffer.from('{"labels":{"site":"north"}}');

describe('doc/configuration-push.md', () => {
  let directory: string;

  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-push-'));
  });

  after(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('names the identifiers that are in use', () => {
    const arc = /`(2\.25\.\d+)`/u.exec(text)?.[1] ?? '';
    const said = [...text.matchAll(/^\| `(\.\d\.\d)`/gmu)].map(([, tail = '']) => arc + tail);
    expect(said).to.deep.equal([
      CONFIGURATION_CONTENT_OID,
      ...Object.values(ConfigurationAttributeOid),
    ]);
  });

  it('has commands that do what it says', async () => {
    const ca = createTestCa();
    const manager = enrolledHost(ca, 'manager', '11111111-2d4b-4c63-9a57-6f1d5c1f0e11').tls;
    const agent = enrolledHost(ca, 'agent', agentId).decryption;
    const rsa = enrolledHost(ca, 'agent', agentId, { decryptionKind: 'rsa' }).decryption;
    const write = (name: string, bytes: Uint8Array) => {
      writeFileSync(join(directory, name), bytes);
    };
    write('agent.pem', toPem(agent.chain));
    write('agent.key', agent.privateKeyPem);
    write('rsa.pem', toPem(rsa.chain));
    write('roots.pem', ca.pem);
    const sealed = await sealConfiguration({
      content,
      agentId,
      version: 5,
      notAfter: new Date('2040-01-01T00:00:00Z'),
      recipientCertificate: agent.chain[0]!,
      workload: localSigner(manager),
    });
    write('sealed.der', sealed);

    const blocks = [...text.matchAll(/```sh\n(.*?)```/gsu)].map(([, block = '']) => block);
    expect(blocks).to.have.length(3);
    for (const block of blocks) {
      const { status, stderr } = spawnSync('sh', ['-e'], {
        input: block,
        cwd: directory,
        encoding: 'utf8',
        timeout: 15_000,
      });
      expect(status, stderr).to.equal(0);
    }

    const read = (name: string) => readFileSync(join(directory, name));
    expect(read('content')).to.deep.equal(content);
    const attributes = read('attributes.txt').toString();
    for (const oid of Object.values(ConfigurationAttributeOid)) expect(attributes).to.include(oid);
    for (const [name, host] of [
      ['gcm.der', agent],
      ['cbc.der', agent],
      ['rsa.der', rsa],
    ] as const) {
      const der = read(name);
      const workload = localOpener(host, manager);
      const opened = await openConfiguration({ der, agentId, now: new Date(), workload });
      expect(opened.content, name).to.deep.equal(content);
      expect(opened.version).to.equal(5);
    }
  });
});
