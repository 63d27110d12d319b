import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { randomBytes, verify } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CryptoPool } from '../../../src/ca/keys/crypto-pool.ts';
import { openDiskKeys } from '../../../src/ca/keys/disk-keys.ts';
import { KeyManagerError } from '../../../src/ca/keys/key-manager.ts';

describe('disk keys', () => {
  let directory: string;
  let pool: CryptoPool;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sidekey-keys-'));
    pool = new CryptoPool({ threads: 1 });
  });
  afterEach(async () => {
    await pool.close();
    rmSync(directory, { recursive: true });
  });

  const openKeys = (passphrasePath?: string) =>
    openDiskKeys({
      directory: join(directory, 'keys'),
      pool,
      random: randomBytes,
      ...(passphrasePath === undefined ? {} : { passphrasePath }),
    });
  const passphraseFile = (text: string) => {
    const path = join(directory, `passphrase-${String(text.length)}`);
    writeFileSync(path, text);
    return path;
  };

  for (const type of ['ecdsa-p256', 'ecdsa-p384', 'ed25519'] as const) {
    it(`signs with ${type} keys found again by their reference`, async () => {
      const made = await (await openKeys()).generate(type);
      const key = await (await openKeys()).open(made.ref);
      const contents = Array.from({ length: 40 }, (_, index) =>
        Buffer.from(`content ${String(index)}`),
      );
      const signatures = await key.signAll(contents);
      const digest = { 'ecdsa-p256': 'sha256', 'ecdsa-p384': 'sha384', ed25519: null }[type];
      for (const [index, content] of contents.entries()) {
        expect(verify(digest, content, made.publicKey, signatures[index]!)).to.equal(true);
      }
    });
  }

  it('writes files for the owner alone, and nothing besides', async () => {
    const { ref } = await (await openKeys()).generate('ecdsa-p256');
    expect(readdirSync(join(directory, 'keys'))).to.deep.equal([`${ref}.key`]);
    expect(statSync(join(directory, 'keys', `${ref}.key`)).mode & 0o777).to.equal(0o600);
    expect(statSync(join(directory, 'keys')).mode & 0o777).to.equal(0o700);
  });

  it('encrypts with the first line of the passphrase file, as OpenSSL does', async () => {
    const path = passphraseFile('correct horse\nsecond line');
    const { ref } = await (await openKeys(path)).generate('ecdsa-p256');
    const file = join(directory, 'keys', `${ref}.key`);
    expect(readFileSync(file).includes('prime256v1')).to.equal(false);
    const text = execFileSync('openssl', [
      'pkey',
      '-inform',
      'DER',
      '-in',
      file,
      '-passin',
      'pass:correct horse',
      '-noout',
      '-text',
    ]);
    expect(String(text)).to.contain('P-256');
    const key = await (await openKeys(path)).open(ref);
    expect(await key.signAll([Buffer.from('x')])).to.have.length(1);
  });

  it('says that the passphrase is wrong or missing, without quoting anything', async () => {
    const { ref } = await (await openKeys(passphraseFile('right'))).generate('ecdsa-p256');
    for (const path of [passphraseFile('wrong one'), undefined]) {
      const refusal = await (await openKeys(path)).open(ref).catch((error: unknown) => error);
      expect(refusal).to.be.instanceOf(KeyManagerError);
      expect(String(refusal))
        .to.match(/passphrase/)
        .and.not.match(/wrong one|asn1|BAD/);
    }
  });

  it('refuses references that are paths', async () => {
    const refusal = await (
      await openKeys()
    )
      .open('../../etc/passwd')
      .catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(KeyManagerError);
  });

  it('destroys a key for good, also one that is open, and one that is not there', async () => {
    const keys = await openKeys();
    const { ref } = await keys.generate('ecdsa-p256');
    const key = await keys.open(ref);
    await keys.destroy(ref);
    await keys.destroy(ref);
    expect(readdirSync(join(directory, 'keys'))).to.deep.equal([]);
    for (const attempt of [keys.open(ref), key.signAll([Buffer.from('x')])]) {
      expect(await attempt.catch((error: unknown) => error)).to.be.instanceOf(KeyManagerError);
    }
  });

  it('refuses an empty passphrase', async () => {
    const refusal = await openKeys(passphraseFile('\n')).catch((error: unknown) => error);
    expect(refusal).to.be.instanceOf(KeyManagerError);
  });
});
