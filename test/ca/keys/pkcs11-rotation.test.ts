import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { checkInvariants } from '../../../src/ca/check/check.ts';
import { KeyManagerError } from '../../../src/ca/keys/key-manager.ts';
import { isPkcs11Ref, openPkcs11Keys, type Pkcs11Keys } from '../../../src/ca/keys/pkcs11-keys.ts';
import { createRotation } from '../../../src/ca/rotation/index.ts';
import { currentBundle, readBundle } from '../../../src/ca/trust/bundle-document.ts';
import { nodeTimers } from '../../../src/ca/timers.ts';
import { parseCertificate } from '../../../src/pki/certificate.ts';
import { createTrustAnchors } from '../../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../../src/pki/verify-chain.ts';
import { issueLeaf, makeAuthorityWith, type TestAuthority } from '../rotation/authority.ts';
import { type OwnedPlace, sqlitePlace } from '../support/stores.ts';
import { type SoftHsm, startSoftHsm } from './soft-hsm.ts';
import { skip } from '../../support/skip.ts';

describe('rotation with keys on a PKCS #11 token', function () {
  this.timeout(60_000);
  let hsm: SoftHsm;
  let place: OwnedPlace;
  let keys: Pkcs11Keys;
  let authority: TestAuthority<Pkcs11Keys>;

  before(async function () {
    const started = startSoftHsm();
    if ('unavailable' in started) {
      return skip(this, `PKCS #11: ${started.unavailable}`);
    }
    hsm = started;
    keys = await openPkcs11Keys({
      modulePath: hsm.modulePath,
      ...hsm.token('authority'),
      random: (length) => randomBytes(length),
      timers: nodeTimers,
    });
    place = sqlitePlace();
    authority = await makeAuthorityWith(keys, place);
  });

  after(async () => {
    // What `before` did not come to is not there.
    await (place as OwnedPlace | undefined)?.close();
    await (keys as Pkcs11Keys | undefined)?.close();
    (hsm as SoftHsm | undefined)?.remove();
  });

  it('makes, uses and destroys them there', async () => {
    const rotation = createRotation({ ...authority, version: '1' });
    const former = authority.context.generations.all();
    for (const { keyRef } of former) expect(isPkcs11Ref(keyRef)).to.equal(true);
    for (const step of ['prepare', 'publish', 'activate'] as const) {
      await rotation.advance({ kind: 'root', step, caller: { name: 'owner' } });
    }
    const { chain } = await issueLeaf(authority, 'host');
    const bundle = await currentBundle(authority.context.store.queries);
    for (const root of readBundle(bundle!.document).roots) {
      verifyChain({
        certificates: chain,
        anchors: createTrustAnchors([parseCertificate(root)]),
        now: authority.clock.now(),
        purpose: 'server',
      });
    }
    for (const step of ['retire', 'destroy'] as const) {
      await rotation.advance({ kind: 'root', step, caller: { name: 'owner' } });
    }
    for (const { kind, keyRef } of former) {
      const opened: unknown = await keys.open(keyRef).catch((error: unknown) => error);
      if (kind === 'enrolment') expect(opened).not.to.be.instanceOf(KeyManagerError);
      else expect(opened).to.be.instanceOf(KeyManagerError);
    }
    const { queries } = authority.context.store;
    expect(await checkInvariants(queries, { now: authority.clock.now() })).to.deep.equal([]);
  });
});
