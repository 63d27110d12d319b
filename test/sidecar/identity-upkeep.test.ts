import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  createOffload,
  type IdentityList,
  type Offload,
  OffloadError,
} from '../../src/offload/index.ts';
import { ServiceError } from '../../src/rpc/errors.ts';
import { createTestCa, type TestCa } from '../support/test-ca.ts';
import { startTestSidecar, type TestSidecar, type TestSidecarOptions } from './fixture.ts';
import { FakeSource } from './support/fake-source.ts';

const own = process.getuid?.() ?? 0;
const stranger = own + 1000;
const bundle = Buffer.from('a bundle');

describe('the upkeep of identities', () => {
  let ca: TestCa;
  const closing: (() => Promise<unknown>)[] = [];

  before(() => {
    ca = createTestCa();
  });

  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function start(options: TestSidecarOptions & { readonly token?: string }): Promise<{
    readonly sidecar: TestSidecar;
    readonly offload: Offload;
  }> {
    const sidecar = await startTestSidecar({ ca, ...options });
    closing.push(() => sidecar.close());
    const offload = createOffload({
      address: sidecar.address,
      ...(options.token === undefined ? {} : { token: options.token }),
    });
    closing.push(() => offload.close());
    return { sidecar, offload };
  }

  const calls = {
    enroll: ({ workload }: Offload, identity?: string) => workload.enroll({ identity, bundle }),
    renew: ({ workload }: Offload, identity?: string) => workload.renew({ identity }),
    forget: ({ workload }: Offload, identity = 'host') => workload.forget({ identity }),
  } as const;
  type Call = keyof typeof calls;
  const everyCall: readonly Call[] = ['enroll', 'renew', 'forget'];

  /** The reason of a refusal; `undefined`: it was done. */
  async function reasonOf(promise: Promise<unknown>): Promise<string | undefined> {
    try {
      await promise;
      return undefined;
    } catch (error) {
      if (!(error instanceof OffloadError)) throw error;
      return `${error.code} ${error.reason ?? ''}`;
    }
  }

  const notTheOwner = 'ERR_OFFLOAD_DENIED not_the_owner';
  const notAllowed = 'ERR_OFFLOAD_DENIED identity_not_allowed';
  const rows: readonly {
    readonly name: string;
    readonly uid: number;
    readonly rule: string;
    readonly identity?: string;
    readonly expected: Readonly<Record<Call, string | undefined>>;
  }[] = [
    {
      name: 'whoever runs the sidecar',
      uid: own,
      rule: '[]',
      expected: { enroll: undefined, renew: undefined, forget: undefined },
    },
    {
      name: 'whoever runs the sidecar, without a rule for it',
      uid: own,
      rule: `[{ uid: ${String(stranger)}, identities: [host] }]`,
      expected: { enroll: undefined, renew: undefined, forget: undefined },
    },
    {
      name: 'another user whose rule says enroll',
      uid: stranger,
      rule: `[{ uid: ${String(stranger)}, identities: [host], enroll: true }]`,
      expected: { enroll: undefined, renew: undefined, forget: undefined },
    },
    {
      name: 'another user whose rule says renew',
      uid: stranger,
      rule: `[{ uid: ${String(stranger)}, identities: [host], renew: true }]`,
      expected: { enroll: notTheOwner, renew: undefined, forget: notTheOwner },
    },
    {
      name: 'another user whose rule says neither',
      uid: stranger,
      rule: `[{ uid: ${String(stranger)}, identities: [host], pinnedPeers: true }]`,
      expected: { enroll: notTheOwner, renew: notTheOwner, forget: notTheOwner },
    },
    {
      name: 'another user whose rule is about another identity',
      uid: stranger,
      rule: `[{ uid: ${String(stranger)}, identities: [other], enroll: true }]`,
      identity: 'host',
      expected: { enroll: notAllowed, renew: notAllowed, forget: notAllowed },
    },
    {
      name: 'another user who names what is not there',
      uid: stranger,
      rule: `[{ uid: ${String(stranger)}, identities: [other], enroll: true }]`,
      identity: 'nobody',
      expected: { enroll: notAllowed, renew: notAllowed, forget: notAllowed },
    },
    {
      name: 'a user without a rule',
      uid: stranger + 1,
      rule: `[{ uid: ${String(stranger)}, identities: [host], enroll: true }]`,
      expected: {
        enroll: 'ERR_OFFLOAD_DENIED caller_not_allowed',
        renew: 'ERR_OFFLOAD_DENIED caller_not_allowed',
        forget: 'ERR_OFFLOAD_DENIED caller_not_allowed',
      },
    },
    {
      name: 'whoever runs the sidecar, of an identity from nowhere',
      uid: own,
      rule: '[]',
      identity: 'nobody',
      expected: {
        enroll: 'ERR_OFFLOAD_POLICY identity_unknown',
        renew: 'ERR_OFFLOAD_POLICY identity_unknown',
        forget: 'ERR_OFFLOAD_POLICY identity_unknown',
      },
    },
  ];
  for (const { name, uid, rule, identity, expected } of rows) {
    it(`is for ${name} as the rules say`, async () => {
      const host = enrolled();
      const { offload } = await start({
        sources: { host, other: enrolled() },
        allow: rule,
        callerUid: () => uid,
      });
      for (const call of everyCall) {
        const chosen = identity ?? (rule.includes('host') && uid === stranger ? undefined : 'host');
        expect(await reasonOf(calls[call](offload, chosen)), call).to.equal(expected[call]);
      }
      expect(host.bundles).to.have.length(expected.enroll === undefined ? 1 : 0);
      expect(host.renewals).to.equal(expected.renew === undefined ? 1 : 0);
      expect(host.current === undefined).to.equal(expected.forget === undefined);
    });
  }

  it('is not for a token that is not the one of the rule', async () => {
    const { offload } = await start({
      sources: { host: enrolled() },
      allow: '[{ tokenFile: ./web.token, identities: [host], enroll: true }]',
      callerUid: () => stranger,
      prepare: (directory) => {
        writeFileSync(join(directory, 'web.token'), 'y'.repeat(40), { mode: 0o600 });
      },
      token: 'x'.repeat(40),
    });
    for (const call of everyCall) {
      expect(await reasonOf(calls[call](offload))).to.equal(
        'ERR_OFFLOAD_UNAUTHENTICATED token_unknown',
      );
    }
  });

  it('needs the name where there are several', async () => {
    const { offload } = await start({ sources: { host: enrolled(), other: enrolled() } });
    for (const call of ['enroll', 'renew'] as const) {
      expect(await reasonOf(calls[call](offload))).to.equal(
        'ERR_OFFLOAD_POLICY identity_ambiguous',
      );
    }
    expect(await reasonOf(calls.forget(offload, ''))).to.equal(
      'ERR_OFFLOAD_POLICY invalid_request',
    );
  });

  it('answers what enrolling came to', async () => {
    const { offload } = await start({ sources: { host: new FakeSource() } });
    expect(await offload.workload.enroll({ bundle })).to.deep.equal({
      spiffeId: 'spiffe://test/service/1',
      notAfter: new Date('2030-01-01T00:00:00Z'),
      alreadyEnrolled: false,
    });
    expect(bundle.toString()).to.equal('a bundle');
    expect(await reasonOf(offload.workload.enroll({ bundle: Buffer.from('spent') }))).to.equal(
      'ERR_OFFLOAD_DENIED refused',
    );
  });

  it('forgets once, and says so', async () => {
    const host = enrolled();
    const { offload } = await start({ sources: { host } });
    expect(await offload.workload.forget({ identity: 'host' })).to.deep.equal({
      alreadyForgotten: false,
    });
    expect(await offload.workload.forget({ identity: 'host' })).to.deep.equal({
      alreadyForgotten: true,
    });
    const { identities } = await offload.workload.listIdentities();
    expect(identities[0]).to.deep.include({ ready: false, notAfter: undefined, certificates: [] });
    expect(identities[0]!.enrolment).to.include({ state: 'waiting for a bundle' });
  });

  describe('renewing', () => {
    it('is done once for all who ask at a time', async () => {
      const host = enrolled();
      const { offload } = await start({ sources: { host } });
      let finish: (notAfter: Date) => void = () => undefined;
      const begun = new Promise<void>((resolve) => {
        host.renewal = () => {
          resolve();
          return new Promise((settle) => (finish = settle));
        };
      });
      const asked = Array.from({ length: 20 }, () => offload.workload.renew());
      await begun;
      // On the same connection, and answered in order: all twenty have arrived by then.
      await offload.workload.listIdentities();
      finish(new Date('2031-01-01T00:00:00Z'));
      for (const { notAfter } of await Promise.all(asked)) {
        expect(notAfter.toISOString()).to.equal('2031-01-01T00:00:00.000Z');
      }
      expect(host.renewals).to.equal(1);
    });

    it('has to wait a minute after it was done, and seconds after it was not', async () => {
      let now = Date.now();
      const host = enrolled();
      const { offload } = await start({ sources: { host }, now: () => new Date(now) });
      await offload.workload.renew();
      const tooSoon = 'ERR_OFFLOAD_OVERLOADED renewal_too_soon';
      expect(await reasonOf(offload.workload.renew())).to.equal(tooSoon);
      now += 59_000;
      const error = await offload.workload.renew().catch((thrown: unknown) => thrown);
      expect(error).to.include({ reason: 'renewal_too_soon', retryAfterMs: 1000 });
      now += 1000;
      host.renewal = () =>
        Promise.reject(new ServiceError('UNAVAILABLE', 'unavailable', 'not renewed: away'));
      expect(await reasonOf(offload.workload.renew())).to.equal(
        'ERR_OFFLOAD_UNAVAILABLE unavailable',
      );
      expect(await reasonOf(offload.workload.renew())).to.equal(tooSoon);
      now += 5000;
      host.renewal = () => Promise.resolve(new Date('2031-01-01T00:00:00Z'));
      await offload.workload.renew();
      // A clock that was set back by a day does not forbid it for a day.
      now -= 86_400_000;
      await offload.workload.renew();
      expect(host.renewals).to.equal(4);
    });
  });

  describe('watching', () => {
    it('tells of everything that happens to an identity, the newest only', async () => {
      const host = new FakeSource();
      const { offload } = await start({ sources: { host } });
      const watch = offload.workload.watchIdentities();
      closing.push(() => watch.return());
      expect((await next(watch)).identities[0]).to.include({ name: 'host', ready: false });
      host.follow(ca.certificate);
      host.use(ca.issue({ uris: ['spiffe://test/agent/1'] }));
      const ready = (await next(watch)).identities[0]!;
      expect(ready).to.include({ ready: true, spiffeId: 'spiffe://test/agent/1' });
      host.use(ca.issue({ uris: ['spiffe://test/agent/1'] }));
      const renewed = (await next(watch)).identities[0]!;
      expect(renewed.publicKeyHash).not.to.equal(ready.publicKeyHash);
      host.changed({ state: 'revoked' });
      expect((await next(watch)).identities[0]).to.include({ ready: false });
    });

    it('tells a caller of his own identities only', async () => {
      const { offload } = await start({
        sources: { host: enrolled(), other: enrolled() },
        allow: `[{ uid: ${String(stranger)}, identities: [other] }]`,
        callerUid: () => stranger,
      });
      const watch = offload.workload.watchIdentities();
      closing.push(() => watch.return());
      const { identities } = await next(watch);
      expect(identities.map(({ name }) => name)).to.deep.equal(['other']);
    });

    it('is refused to whom no rule knows', async () => {
      const { offload } = await start({
        sources: { host: enrolled() },
        allow: `[{ uid: ${String(stranger)}, identities: [host] }]`,
        callerUid: () => stranger + 1,
      });
      expect(await reasonOf(next(offload.workload.watchIdentities()))).to.equal(
        'ERR_OFFLOAD_DENIED caller_not_allowed',
      );
    });

    it('is bounded for each connection', async () => {
      const { offload, sidecar } = await start({ sources: { host: enrolled() } });
      const watches = Array.from({ length: 8 }, () => offload.workload.watchIdentities());
      for (const watch of watches) closing.push(() => watch.return());
      await Promise.all(watches.map(next));
      const abort = new AbortController();
      const oneMore = offload.workload.watchIdentities({ signal: abort.signal });
      const refused = next(oneMore).catch((error: unknown) => error);
      await watches[0]!.return();
      expect(await refused).to.have.property('identities');
      abort.abort(new Error('enough'));
      expect(await next(oneMore).catch((error: unknown) => error)).to.have.property(
        'message',
        'enough',
      );
      await sidecar.sidecar.drain(0);
    });

    it('ends when its reader has had enough, or its signal says so', async () => {
      const { offload } = await start({ sources: { host: enrolled() } });
      for await (const { identities } of offload.workload.watchIdentities()) {
        expect(identities).to.have.length(1);
        break;
      }
      const signal = AbortSignal.abort(new Error('not wanted'));
      const late = await next(offload.workload.watchIdentities({ signal })).catch(
        (error: unknown) => error,
      );
      expect(late).to.have.property('message', 'not wanted');
    });
  });

  function enrolled(): FakeSource {
    return FakeSource.enrolled(ca, ca.issue({ uris: ['spiffe://test/agent/1'] }));
  }
});

async function next(watch: AsyncGenerator<IdentityList, void>): Promise<IdentityList> {
  const { value } = await watch.next();
  if (value === undefined) throw new Error('the watch has ended');
  return value;
}
