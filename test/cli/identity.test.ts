import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { importIdentity } from '../../src/cli/identity/import.ts';
import { keyTypes, type KeyType } from '../../src/cli/identity/key-types.ts';
import { newIdentity } from '../../src/cli/identity/new.ts';
import { parseCertificateRequest, parsePem } from '../../src/pki/index.ts';
import { createTestCa } from '../support/test-ca.ts';

describe('sidekey identity', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sidekey-test-'));
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  for (const keyType of Object.keys(keyTypes) as KeyType[]) {
    it(`new makes a key only its owner can read and a request for it: ${keyType}`, async () => {
      await newIdentity({
        name: 'web',
        directory,
        keyType,
        spiffeId: 'spiffe://example.org/service/web',
        dnsNames: ['web.example.org'],
      });
      const keyFile = join(directory, 'web.key');
      expect((await stat(keyFile)).mode & 0o777).to.equal(0o600);
      const publicKey = createPublicKey(createPrivateKey(await readFile(keyFile)));
      const [block] = parsePem(await readFile(join(directory, 'web.csr')));
      const request = parseCertificateRequest(block!.der);
      expect(request.publicKey.equals(publicKey)).to.equal(true);
      expect(request.subjectAltNames.uris).to.deep.equal(['spiffe://example.org/service/web']);
      expect(request.subjectAltNames.dnsNames).to.deep.equal(['web.example.org']);
    });
  }

  it('new does not replace a key that is there', async () => {
    const options = {
      name: 'web',
      directory,
      keyType: 'ecdsa-p256',
      spiffeId: undefined,
      dnsNames: [],
    } as const;
    await newIdentity(options);
    const before = await readFile(join(directory, 'web.key'));
    const failure = await newIdentity(options).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.have.property('code', 'EEXIST');
    expect(await readFile(join(directory, 'web.key'))).to.deep.equal(before);
  });

  it('import puts the leaf first, whatever the order in the file', async () => {
    const issued = createTestCa().issue({ dnsNames: ['web.example.org'], intermediate: true });
    const certificateFile = join(directory, 'in.pem');
    const privateKeyFile = join(directory, 'in.key');
    const blocks = issued.certificatePem
      .toString()
      .split(/(?=-----BEGIN)/)
      .reverse();
    await writeFile(certificateFile, blocks.join(''));
    await writeFile(privateKeyFile, issued.privateKeyPem);
    await importIdentity({
      name: 'web',
      directory: join(directory, 'out'),
      source: { kind: 'pem', certificateFile, privateKeyFile },
    });
    const chain = parsePem(await readFile(join(directory, 'out', 'web.pem')));
    expect(chain.map(({ der }) => Buffer.from(der))).to.deep.equal(
      issued.chain.map((der) => Buffer.from(der)),
    );
    const key = createPrivateKey(await readFile(join(directory, 'out', 'web.key')));
    expect(new X509Certificate(chain[0]!.der).checkPrivateKey(key)).to.equal(true);
  });

  it('import opens PKCS #12 with the passphrase of a file, without its line end', async () => {
    const passphraseFile = join(directory, 'passphrase');
    await writeFile(passphraseFile, 'secret1\n');
    await importIdentity({
      name: 'web',
      directory: join(directory, 'out'),
      source: {
        kind: 'pkcs12',
        file: fileURLToPath(new URL('../vectors/pkcs12/java.p12', import.meta.url)),
        passphraseFile,
      },
    });
    const keyFile = join(directory, 'out', 'web.key');
    expect((await stat(keyFile)).mode & 0o777).to.equal(0o600);
    const [leaf, issuer] = parsePem(await readFile(join(directory, 'out', 'web.pem')));
    const certificate = new X509Certificate(leaf!.der);
    expect(certificate.checkPrivateKey(createPrivateKey(await readFile(keyFile)))).to.equal(true);
    expect(certificate.checkIssued(new X509Certificate(issuer!.der))).to.equal(true);
  });

  it('import refuses a key that belongs to none of the certificates, and writes nothing', async () => {
    const ca = createTestCa();
    const certificateFile = join(directory, 'in.pem');
    const privateKeyFile = join(directory, 'in.key');
    await writeFile(certificateFile, ca.issue({ dnsNames: ['a.example.org'] }).certificatePem);
    await writeFile(privateKeyFile, ca.issue({ dnsNames: ['b.example.org'] }).privateKeyPem);
    const failure = await importIdentity({
      name: 'web',
      directory: join(directory, 'out'),
      source: { kind: 'pem', certificateFile, privateKeyFile },
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).to.have.property('message').that.contains('none of the certificates');
    expect(await stat(join(directory, 'out')).catch(() => 'absent')).to.equal('absent');
  });
});
