import { expect } from 'chai';
import { parseCertificate, spiffeIdOf } from '../../../src/pki/index.ts';
import { forEachStore } from '../support/stores.ts';
import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import {
  type AuthorityFixture,
  authorityOn,
  enroll,
  mintBundles,
  reasonOf,
} from './authority-fixture.ts';

describe('enrolment', () => {
  forEachStore((_name, place) => {
    let fixture: AuthorityFixture;
    beforeEach(async () => {
      fixture = await authorityOn(place());
    });
    afterEach(() => fixture.close());

    it('gives a host an identity of its own, with all it needs to go on', async () => {
      const { authority } = fixture;
      const [bundle] = await mintBundles(authority, { properties: { cluster: 'blue' } });
      const { issued } = await enroll(authority, bundle!, {
        decryption: generateKeyPair('ecdsa-p256'),
      });
      const leaf = parseCertificate(issued.tlsChain[0]!);
      expect(spiffeIdOf(leaf)).to.equal(issued.spiffeId);
      expect(issued.spiffeId).to.match(
        /^spiffe:\/\/example\.org\/agent\/[0-9a-f]{8}-[0-9a-f]{4}-4/,
      );
      expect(issued.decryptionChain).to.have.length(2);
      expect(issued.properties).to.deep.equal({ cluster: 'blue' });
      expect(issued.active).to.equal(true);
    });
    it('spends a token once', async () => {
      const { authority } = fixture;
      const [bundle] = await mintBundles(authority);
      await enroll(authority, bundle!);
      expect(await reasonOf(enroll(authority, bundle!))).to.equal('token_spent');
    });
  });
});
