import { expect } from 'chai';
import { currentBundle, readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { gatherBundle } from '../../../src/ca/trust/bundle-material.ts';
import {
  type BundleMaterial,
  publishBundle,
  rootKeyIdentifier,
} from '../../../src/ca/trust/publish-bundle.ts';
import { makeCaCertificate } from '../../../src/ca/generations/ca-certificate.ts';
import type { Generation } from '../../../src/ca/generations/generation.ts';
import { TrustBundle } from '../../../src/gen/sidekey/v1/certificate_authority.ts';
import { followTrust, pinnedTrust } from '../../../src/identity/trust-bundle.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { dayMs } from '../support/rows.ts';
import { forEachVacantStore } from '../support/stores.ts';
import { openTrustAuthority, type TrustAuthority } from './trust-authority.ts';

describe('publishBundle', () => {
  forEachVacantStore((_, place) => {
    let authority: TrustAuthority;

    beforeEach(async () => {
      authority = await openTrustAuthority(place());
    });
    afterEach(() => authority.close());

    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

    /** Another root, in no store. */
    async function newRoot(number: number): Promise<Generation> {
      const { keys, trustDomain, random, now } = authority.context;
      const { ref } = await keys.generate('ecdsa-p256');
      const key = await keys.open(ref);
      const certificate = await makeCaCertificate({
        kind: 'root',
        number,
        trustDomain,
        key,
        signer: { key },
        serialNumber: random(16),
        notBefore: now(),
        notAfter: new Date(authority.clock.ms + 100 * dayMs),
      });
      const [sample] = authority.context.generations.all();
      return {
        ...sample!,
        id: random(16),
        kind: 'root',
        number,
        state: 'published',
        parent: undefined,
        certificate,
        keyRef: ref,
      };
    }

    const material = async (generations: readonly Generation[]): Promise<BundleMaterial> =>
      await gatherBundle({
        ...authority.context,
        generations,
        keyOf: (generation) => authority.context.keys.open(generation.keyRef),
        previous: await currentBundle(authority.store.queries),
        by: 'owner',
      });

    const publish = async (what: BundleMaterial): Promise<number> =>
      await authority.store.transact((transaction) => publishBundle(transaction, what));

    async function newest(): Promise<TrustBundle> {
      const bundle = await currentBundle(authority.store.queries);
      return TrustBundle.decode(bundle!.document);
    }

    async function refusal(what: BundleMaterial): Promise<string> {
      try {
        await publish(what);
      } catch (error) {
        if (error instanceof ServiceError) return error.reason;
        throw error;
      }
      throw new Error('it was published');
    }

    it('is signed by every root in it and before it, so that hosts can follow', async () => {
      const first = authority.context.generations.all();
      const old = authority.context.generations.signing('root');
      const pinned = pinnedTrust({
        trustDomain: 'example.org',
        roots: [old.certificate.der],
        addresses: [],
      });
      const root = await newRoot(2);
      expect(await publish(await material([...first, root]))).to.equal(2);
      const both = await newest();
      expect(both.signatures.map(({ keyIdentifier }) => hex(keyIdentifier)).sort()).to.deep.equal(
        [old, root].map(({ certificate }) => hex(rootKeyIdentifier(certificate))).sort(),
      );
      const followed = followTrust(pinned, both);
      expect(followed.roots).to.have.length(2);
      const retired = first.map((generation) =>
        generation.kind === 'root' ? { ...generation, state: 'retired' as const } : generation,
      );
      expect(await publish(await material([...retired, root]))).to.equal(3);
      const alone = await newest();
      expect(readBundle((await currentBundle(authority.store.queries))!.document)).to.deep.include({
        sequence: 3,
        epoch: authority.context.epoch,
        addresses: ['ca.example.org:8443'],
      });
      // The root that went signs its own leave.
      expect(alone.signatures).to.have.length(2);
      expect(followTrust(followed, alone).roots.map(hex)).to.deep.equal([
        hex(root.certificate.der),
      ]);
      // Also for a host that slept through all of it.
      expect(followTrust(pinned, alone).roots).to.have.length(1);
      const feed = await authority.store.queries
        .selectFrom('feed')
        .select('type')
        .where('type', '=', 'bundle')
        .execute();
      expect(feed).to.have.length(3);
      expect(await authority.violations()).to.deep.equal([]);
    });

    it('refuses to leave hosts behind that know only the roots before', async () => {
      const root = await newRoot(2);
      const good = await material([...authority.context.generations.all(), root]);
      expect(await refusal({ ...good, signers: good.signers.slice(1) })).to.equal(
        'bundle_signer_missing',
      );
      const own = good.signers.find(({ certificate }) => certificate === root.certificate);
      const withoutOld = { ...good, roots: [root.certificate], signers: [own!] };
      expect(await refusal(withoutOld)).to.equal('bundle_signer_missing');
      const old = authority.context.generations.signing('root').certificate;
      expect(await publish({ ...withoutOld, withoutSignatureOf: [old] })).to.equal(2);
    });

    it('lets no wrong signature out', async () => {
      const good = await material(authority.context.generations.all());
      const { ref } = await authority.context.keys.generate('ecdsa-p256');
      const key = await authority.context.keys.open(ref);
      const signers = good.signers.map(({ certificate }) => ({ certificate, key }));
      expect(await refusal({ ...good, signers })).to.equal('bundle_signer_wrong');
      expect(await refusal({ ...good, roots: [] })).to.equal('bundle_empty');
      const { value } = await authority.store.queries
        .selectFrom('counter')
        .select('value')
        .where('name', '=', 'bundle')
        .executeTakeFirstOrThrow();
      expect(value).to.equal(1);
    });
  });
});
