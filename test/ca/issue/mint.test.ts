import { expect } from 'chai';
import { createHash, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import type { Authority } from '../../../src/ca/index.ts';
import { parseToken, signedPart } from '../../../src/ca/tokens/token.ts';
import { parseCertificate, parsePem } from '../../../src/pki/index.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { forEachVacantStore } from '../support/stores.ts';
import {
  type AuthorityFixture,
  authorityOn,
  enroll,
  mintBundles,
  reasonOf,
} from './authority-fixture.ts';

describe('minting', () => {
  forEachVacantStore((_name, place) => {
    let fixture: AuthorityFixture;
    let authority: Authority;
    beforeEach(async function () {
      this.timeout(60_000);
      fixture = await authorityOn(place());
      ({ authority } = fixture);
    });
    afterEach(() => fixture.close());

    it('makes bundles that say all a host needs, signed with the key of the token', async () => {
      const [bundle] = await mintBundles(authority, { properties: { b: '2', a: '1' } });
      const { document, file, token } = bundle!;
      const [enrolment, certificate, key] = parsePem(file);
      expect([enrolment, certificate, key].map((block) => block?.label)).to.deep.equal([
        'SIDEKEY ENROLMENT',
        'CERTIFICATE',
        'PRIVATE KEY',
      ]);
      expect(document).to.include({ trustDomain: 'example.org', role: 'agent', version: 1 });
      expect(document['addresses']).to.deep.equal(['127.0.0.1:8443', 'ca.example.org:8443']);
      expect(document['properties']).to.deep.equal({ a: '1', b: '2' });
      const roots = document['roots'] as string[];
      const root = authority.context.generations.all().find(({ kind }) => kind === 'root')!;
      expect(roots).to.deep.equal([Buffer.from(root.certificate.der).toString('base64')]);
      expect(document['rootPins']).to.deep.equal([
        createHash('sha256').update(root.certificate.der).digest('hex'),
      ]);
      expect(document['credential']).to.equal(
        createHash('sha256').update(certificate!.der).digest('hex'),
      );
      const publicKeyInfo = Buffer.from(String(document['publicKey']), 'base64');
      const keyId = createHash('sha256').update(publicKeyInfo).digest('hex').slice(0, 16);
      expect(document['keyId']).to.equal(keyId);
      const publicKey = createPublicKey({ key: publicKeyInfo, format: 'der', type: 'spki' });
      const received = parseToken(token)!;
      expect(Buffer.from(received.keyId).toString('hex')).to.equal(keyId);
      expect(verify(null, signedPart(received.payload), publicKey, received.signature)).to.equal(
        true,
      );
      const signed = Buffer.concat([
        Buffer.from('sidekey bundle v1\0'),
        enrolment!.der.subarray(64),
      ]);
      expect(verify(null, signed, publicKey, enrolment!.der.subarray(0, 64))).to.equal(true);
      const privateKey = createPrivateKey({
        key: Buffer.from(key!.der),
        format: 'der',
        type: 'pkcs8',
      });
      const leaf = parseCertificate(certificate!.der);
      expect(createPublicKey(privateKey).equals(leaf.publicKey)).to.equal(true);
      expect(authority.identify(certificate!.der)).to.include({ kind: 'enrolment' });
    });

    it('mints a batch in one call, every token another', async () => {
      const bundles = await mintBundles(authority, { count: 1203 });
      expect(new Set(bundles.map(({ token }) => token)).size).to.equal(1203);
      const { queries } = authority.context.store;
      const rows = await queries.selectFrom('token').select(['batch', 'uses']).execute();
      expect(rows).to.have.length(1203);
      expect(new Set(rows.map(({ batch }) => Buffer.from(batch!).toString('hex'))).size).to.equal(
        1,
      );
    });

    it('goes on with an order that is given again, with the same tokens', async () => {
      const chunks = authority.mint.mint({
        key: 'order',
        role: 'agent',
        properties: {},
        lifetimeMs: 3_600_000,
        count: 900,
        cap: 1,
        policy: undefined,
        caller: { name: 'owner', source: 'unix' },
      });
      // Given up after the first part, as by a client that went away.
      for await (const { created } of chunks) if (created > 0) break;
      const first = await mintBundles(authority, { key: 'order', count: 900 });
      const again = await mintBundles(authority, { key: 'order', count: 900 });
      const tokens = (bundles: typeof first) => bundles.map(({ token }) => token).sort();
      expect(tokens(again)).to.deep.equal(tokens(first));
      expect(new Set(tokens(first)).size).to.equal(900);
      await enroll(authority, again[0]!);
      expect(await reasonOf(enroll(authority, again[0]!))).to.equal('token_spent');
    });

    it('refuses another order under the same key', async () => {
      await mintBundles(authority, { key: 'order', count: 2 });
      expect(await reasonFor({ key: 'order', count: 3 })).to.equal('idempotency_key_reused');
    });

    it('refuses policies that are not for it, and lifetimes beyond them', async () => {
      expect(await reasonFor({ policy: 'operators' })).to.equal('policy_unfit');
      expect(await reasonFor({ policy: 'none' })).to.equal('policy_unknown');
      expect(await reasonFor({ lifetimeMs: 31 * 86_400_000 })).to.equal('lifetime_out_of_range');
      expect(await reasonFor({ role: 'authority' })).to.equal('policy_missing');
    });

    it('keeps no private key and no text of a token', async () => {
      const [bundle] = await mintBundles(authority, { properties: { site: 'x' } });
      const { issued } = await enroll(authority, bundle!);
      const { queries } = authority.context.store;
      const tables = [
        'token',
        'certificate',
        'redemption',
        'agent',
        'audit',
        'idempotency',
        'property',
      ] as const;
      for (const table of tables) {
        const rows = await queries.selectFrom(table).selectAll().execute();
        const bytes = rows.flatMap((row) =>
          Object.values(row).map((value) =>
            value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value),
          ),
        );
        const signature = bundle!.token.split('.')[2]!;
        for (const value of bytes) {
          expect(value).not.to.contain(signature);
          expect(value).not.to.contain(issued.renewalToken.split('.')[2]!);
          expect(value).not.to.contain('PRIVATE KEY');
          // DER of a PKCS #8 key of P-256 begins with this.
          expect(value).not.to.contain('\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01');
        }
      }
    });

    async function reasonFor(options: Parameters<typeof mintBundles>[1]): Promise<string> {
      const error: unknown = await mintBundles(authority, options).catch(
        (reason: unknown) => reason,
      );
      if (error instanceof ServiceError) return error.reason;
      throw new Error('it was not refused');
    }
  });
});
