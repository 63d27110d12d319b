import { generateKeyPair } from '../../../src/crypto/key-generation.ts';
import { revokeOperation } from '../../../src/ca/revocation/revoke-operation.ts';
import {
  authorityOn,
  confirm,
  enroll,
  mintBundles,
  reasonOf,
  renew,
  type TestHost,
} from '../issue/authority-fixture.ts';
import type { StorePlace } from '../support/stores.ts';

/**
 * Leaves in a store what an authority wrote that did a little of everything: minted two batches,
 * enrolled, renewed with and without the new certificate being used, refused, revoked, published CRLs
 * and rotated its root. Answers when it ended.
 */
export async function livelyAuthority(place: StorePlace): Promise<{ readonly now: Date }> {
  const fixture = await authorityOn(place, { threads: 0 });
  const { authority, clock } = fixture;
  const { context } = authority;
  const order = { reason: 'keyCompromise', by: 'owner' } as const;
  const minute = (): void => {
    clock.advance(60_000);
  };
  try {
    const bundles = [
      ...(await mintBundles(authority, { count: 5, properties: { cluster: 'blue' } })),
      ...(await mintBundles(authority, { count: 2 })),
    ];
    minute();
    const hosts: TestHost[] = [];
    for (const bundle of bundles.slice(0, 5)) {
      const decryption = generateKeyPair('ecdsa-p256');
      hosts.push(await enroll(authority, bundle, hosts.length === 0 ? { decryption } : {}));
      minute();
    }
    const [seen, unseen, thrownOut] = hosts;
    await reasonOf(enroll(authority, bundles[0]!));
    // A response that was lost.
    await enroll(authority, bundles[1]!, { keys: hosts[1]!.keys });
    await confirm(authority, await renew(authority, seen!));
    minute();
    await renew(authority, unseen!);
    minute();
    await authority.crls.publish();
    minute();
    await context.writer.submit(revokeOperation, {
      subject: { kind: 'agent', id: await agentOf(thrownOut!) },
      order,
    });
    await context.writer.submit(revokeOperation, {
      subject: { kind: 'token', id: await unusedToken() },
      order,
    });
    minute();
    await authority.crls.publish();
    await rotateRoot();
    minute();
    await renew(authority, hosts[3]!);
    minute();
    return { now: clock.now() };
  } finally {
    await fixture.close();
  }

  async function rotateRoot(): Promise<void> {
    const caller = { name: 'owner' };
    await authority.rotation.advance({ kind: 'root', step: 'prepare', caller });
    minute();
    await authority.rotation.advance({ kind: 'root', step: 'publish', caller });
    minute();
    await context.store.transact(async ({ queries }) => {
      await queries
        .updateTable('agent')
        .set({ bundle_ack: 2, last_seen_at: clock.now().getTime() })
        .execute();
    });
    await authority.rotation.advance({ kind: 'root', step: 'activate', caller });
  }

  async function agentOf(host: TestHost): Promise<Uint8Array> {
    const { agent } = await context.store.queries
      .selectFrom('certificate')
      .select('agent')
      .where('serial', '=', host.serial)
      .executeTakeFirstOrThrow();
    return agent!;
  }

  async function unusedToken(): Promise<Uint8Array> {
    const { id } = await context.store.queries
      .selectFrom('token')
      .select('id')
      .where('kind', '=', 'enroll')
      .where('uses', '=', 0)
      .executeTakeFirstOrThrow();
    return id;
  }
}
