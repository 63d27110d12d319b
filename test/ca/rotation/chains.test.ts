import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { encodePem } from '../../../src/pki/pem.ts';
import { createTrustAnchors } from '../../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../../src/pki/verify-chain.ts';
import { parseCertificate } from '../../../src/pki/certificate.ts';
import { createRotation, type RotationStep } from '../../../src/ca/rotation/index.ts';
import { currentBundle, readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { sqlitePlace } from '../support/stores.ts';
import { issueLeaf, makeAuthority, type TestAuthority } from './authority.ts';
import type { OwnedPlace } from '../support/stores.ts';
import { skip } from '../../support/skip.ts';

/**
 * Hosts get a new trust bundle late, or not at all until their next renewal. Whatever part of a
 * rotation they have seen, they have to accept each other, with chains as the authority gives them out.
 */
describe('chains across the rotation of a root', function () {
  this.timeout(60_000);
  let place: OwnedPlace;
  let directory: string;
  let authority: TestAuthority;

  before(function () {
    if (spawnSync('openssl', ['version']).status !== 0) skip(this, 'no openssl is installed');
  });

  beforeEach(async () => {
    place = sqlitePlace();
    directory = mkdtempSync(join(tmpdir(), 'sidekey-chains-'));
    authority = await makeAuthority(place);
  });

  afterEach(async () => {
    await place.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('hold at every phase, for hosts that trust old, both, or only new roots', async () => {
    const old = await rootsInBundle();
    const leaves: Chain[] = [await leaf('before')];
    await takeAll('prepare', 'publish');
    const both = await rootsInBundle();
    leaves.push(await leaf('published'));
    for (const chain of leaves) expectVerdict(chain, { old, both });

    await takeAll('activate', 'reissue');
    leaves.push(await leaf('activated'));
    // Nobody has to know the new root for what is below it: the cross certificate leads to the old.
    for (const chain of leaves) expectVerdict(chain, { old, both });

    await takeAll('rollback');
    leaves.push(await leaf('rolled back'));
    for (const chain of leaves) expectVerdict(chain, { old, both });

    await takeAll('retire', 'prepare', 'publish', 'activate', 'retire');
    const fresh = await rootsInBundle();
    expect(fresh).to.have.length(1);
    expect(fresh[0]).not.to.deep.equal(old[0]);
    const last = await leaf('after');
    expect(last.chain).to.have.length(2);
    expectVerdict(last, { fresh });
    expect(opensslAccepts(leaves[0]!, fresh), 'what is below the old root').to.equal(false);
  });

  it('hold from the moment a root is tainted', async () => {
    const old = await rootsInBundle();
    const before = await leaf('before');
    await createRotation({ ...authority, version: '1' }).advance({
      kind: 'root',
      step: 'taint',
      caller: { name: 'owner' },
      force: { reason: 'stolen' },
    });
    const both = await rootsInBundle();
    const after = await leaf('after');
    expectVerdict(before, { old, both });
    expectVerdict(after, { old, both });
  });

  it('lead from the new root to what is below the old one, with "old with new"', async () => {
    const before = await leaf('before');
    await takeAll('prepare', 'publish');
    const [, fresh] = await rootsInBundle();
    const { queries } = authority.context.store;
    const { old_with_new } = await queries
      .selectFrom('ca_generation')
      .where('kind', '=', 'root')
      .where('number', '=', 2)
      .select('old_with_new')
      .executeTakeFirstOrThrow();
    expectVerdict({ ...before, chain: [...before.chain, old_with_new!] }, { onlyNew: [fresh!] });
  });

  it('end no later than what they hang on', async () => {
    await takeAll('prepare', 'publish', 'activate');
    const { chain } = await leaf('host');
    const certificates = chain.map(parseCertificate);
    for (const [index, certificate] of certificates.slice(0, -1).entries()) {
      const issuer = certificates[index + 1]!;
      expect(certificate.notAfter.getTime()).to.be.at.most(issuer.notAfter.getTime());
    }
  });

  it('bind issuing CAs to the trust domain', async () => {
    const stranger = await issueLeaf(authority, 'x');
    const issuing = authority.context.generations.signing('issuing').certificate;
    expect(issuing.nameConstraints?.permitted?.uris).to.deep.equal(['example.org']);
    expect(issuing.basicConstraints).to.deep.include({ isCa: true, pathLength: 0 });
    expect(stranger.chain).to.have.length(2);
  });

  interface Chain {
    readonly name: string;
    readonly chain: readonly Uint8Array[];
  }

  async function leaf(name: string): Promise<Chain> {
    const { chain } = await issueLeaf(authority, name.replaceAll(' ', '-'));
    return { name, chain };
  }

  async function takeAll(...steps: readonly RotationStep[]): Promise<void> {
    const rotation = createRotation({ ...authority, version: '1' });
    for (const step of steps) {
      await rotation.advance({ kind: 'root', step, caller: { name: 'owner' } });
    }
  }

  async function rootsInBundle(): Promise<readonly Uint8Array[]> {
    const bundle = await currentBundle(authority.context.store.queries);
    return readBundle(bundle!.document).roots;
  }

  /** OpenSSL and our own verifier accept a chain whichever of the sets of roots a host has. */
  function expectVerdict(
    chain: Chain,
    trusted: Readonly<Record<string, readonly Uint8Array[]>>,
  ): void {
    for (const [who, roots] of Object.entries(trusted)) {
      const about = `"${chain.name}" for who trusts ${who}`;
      expect(opensslAccepts(chain, roots), `OpenSSL: ${about}`).to.equal(true);
      const verdict = ourVerdict(chain, roots);
      expect(verdict, `own: ${about}`).to.equal('verified');
    }
  }

  function opensslAccepts({ chain }: Chain, roots: readonly Uint8Array[]): boolean {
    const write = (name: string, ders: readonly Uint8Array[]) => {
      const path = join(directory, name);
      const pems = ders.map((der) => Buffer.from(encodePem('CERTIFICATE', der)));
      writeFileSync(path, Buffer.concat(pems));
      return path;
    };
    const [first, ...rest] = chain;
    try {
      const out = execFileSync(
        'openssl',
        [
          'verify',
          '-x509_strict',
          '-attime',
          String(Math.floor(authority.clock.ms / 1000)),
          '-purpose',
          'sslserver',
          '-CAfile',
          write('roots.pem', roots),
          '-no-CApath',
          '-no-CAstore',
          '-untrusted',
          write('rest.pem', rest),
          write('leaf.pem', [first!]),
        ],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      );
      return out.toString().includes('OK');
    } catch {
      return false;
    }
  }

  function ourVerdict({ chain }: Chain, roots: readonly Uint8Array[]): string {
    try {
      verifyChain({
        certificates: chain,
        anchors: createTrustAnchors(roots.map(parseCertificate)),
        now: authority.clock.now(),
        purpose: 'server',
      });
      return 'verified';
    } catch (error) {
      return String(error);
    }
  }
});
