import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Authority } from '../../../src/ca/index.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { encodePem } from '../../../src/pki/index.ts';
import { sqlitePlace } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  enroll,
  mintBundles,
  renew,
} from './authority-fixture.ts';

describe('certificates of an authority, judged by OpenSSL', () => {
  const place = sqlitePlace();
  let fixture: AuthorityFixture;
  let authority: Authority;
  let directory: string;
  before(async () => {
    fixture = await authorityOn(place);
    ({ authority } = fixture);
    directory = mkdtempSync(join(tmpdir(), 'sidekey-openssl-'));
    const root = authority.context.generations.all().find(({ kind }) => kind === 'root')!;
    file('root.pem', [root.certificate.der]);
  });
  after(async () => {
    await fixture.close();
    await place.close();
    rmSync(directory, { recursive: true });
  });

  const file = (name: string, ders: readonly Uint8Array[]): string => {
    const path = join(directory, name);
    writeFileSync(path, Buffer.concat(ders.map((der) => encodePem('CERTIFICATE', der))));
    return path;
  };
  const openssl = (...args: readonly string[]) =>
    execFileSync('openssl', args, { encoding: 'utf8' });
  const verify = (chain: readonly Uint8Array[], ...options: readonly string[]) => {
    const leaf = file('leaf.pem', chain.slice(0, 1));
    const rest = file('chain.pem', chain.slice(1));
    const at = String(Math.floor(fixture.clock.now().getTime() / 1000));
    return spawnSync(
      'openssl',
      [
        'verify',
        '-x509_strict',
        '-attime',
        at,
        '-CAfile',
        join(directory, 'root.pem'),
        '-untrusted',
        rest,
        ...options,
        leaf,
      ],
      { encoding: 'utf8' },
    );
  };

  for (const kind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa'] as const) {
    it(`accepts a host's chain of a key of kind ${kind}, for clients and servers`, async () => {
      const [bundle] = await mintBundles(authority);
      const { issued } = await enroll(authority, bundle!, { kind });
      for (const purpose of ['sslserver', 'sslclient']) {
        const { stdout, stderr } = verify(issued.tlsChain, '-purpose', purpose);
        expect(stdout, stderr).to.match(/: OK/);
      }
      expect(verify(issued.tlsChain, '-purpose', 'crlsign').stdout).not.to.match(/: OK/);
    });
  }

  for (const kind of ['ecdsa-p256', 'rsa'] as const) {
    it(`accepts the decryption certificate of a key of kind ${kind}`, async () => {
      const [bundle] = await mintBundles(authority);
      const decryption = generateKeyPair(kind);
      const { issued } = await enroll(authority, bundle!, { decryption });
      // OpenSSL's own purpose knows key transport only; curves agree on keys (RFC 5753 §3.1).
      const purpose = kind === 'rsa' ? 'smimeencrypt' : 'any';
      const { stdout, stderr } = verify(issued.decryptionChain, '-purpose', purpose);
      expect(stdout, stderr).to.match(/: OK/);
      const text = openssl('x509', '-in', join(directory, 'leaf.pem'), '-noout', '-text');
      expect(text).to.match(kind === 'rsa' ? /Key Encipherment/ : /Key Agreement/);
    });
  }

  it('accepts a renewed chain, and the certificate of the authority itself by name', async () => {
    const [bundle] = await mintBundles(authority);
    const renewed = await renew(authority, await enroll(authority, bundle!));
    expect(verify(renewed.issued.tlsChain).stdout).to.match(/: OK/);
    const own = authority.credential();
    const byName = verify(own.chain, '-verify_hostname', 'ca.example.org', '-purpose', 'sslserver');
    expect(byName.stdout, byName.stderr).to.match(/: OK/);
    expect(verify(own.chain, '-verify_ip', '127.0.0.1').stdout).to.match(/: OK/);
  });

  it('does not accept the credential of a bundle where hosts are accepted', async () => {
    const [bundle] = await mintBundles(authority);
    const { stdout } = verify([bundle!.credential, ...authority.enrolmentAnchors()]);
    expect(stdout).not.to.match(/: OK/);
  });

  it('binds the issuing CA to the trust domain', () => {
    const issuing = authority.context.generations.signing('issuing');
    const path = file('issuing.pem', [issuing.certificate.der]);
    const text = openssl('x509', '-in', path, '-noout', '-text');
    expect(text).to.match(/Permitted:\s+URI:example\.org/);
    expect(text).to.match(/CA:TRUE, pathlen:0/);
  });
});
