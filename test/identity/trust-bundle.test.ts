import { expect } from 'chai';
import type { TrustBundle } from '../../src/gen/sidekey/v1/certificate_authority.ts';
import { TrustBundleContent } from '../../src/gen/sidekey/v1/certificate_authority.ts';
import {
  followTrust,
  pinnedTrust,
  readTrustBundle,
  TrustBundleError,
  type TrustState,
} from '../../src/identity/trust-bundle.ts';
import { type Ca, FakeAuthority } from './support/fake-authority.ts';
import { FakeClock } from './support/fake-clock.ts';

describe('following a trust bundle', () => {
  const clock = new FakeClock();
  const authority = new FakeAuthority(clock.now);
  const first = authority.root;
  const second = authority.makeRoot('Root 2');
  const third = authority.makeRoot('Root 3');
  const stranger = authority.makeRoot('Stranger');

  /** A bundle as the authority would make it. */
  function bundle(options: {
    readonly roots?: readonly Ca[];
    readonly signers?: readonly Ca[];
    readonly sequence?: number;
    readonly epoch?: string;
    readonly intermediates?: readonly Uint8Array[];
    readonly domain?: string;
  }): TrustBundle {
    const maker = Object.assign(Object.create(authority) as FakeAuthority, {
      roots: options.roots ?? [first],
      signers: options.signers ?? options.roots ?? [first],
      sequence: options.sequence ?? 5,
      epoch: options.epoch ?? 'e1',
      intermediates: options.intermediates ?? [],
      trustDomain: options.domain ?? 'example.test',
    });
    return FakeAuthority.prototype.trustBundle.call(maker);
  }

  const pinned = pinnedTrust({
    trustDomain: 'example.test',
    roots: [first.certificate.der],
    addresses: ['a.test:1'],
  });
  const known: TrustState = followTrust(pinned, bundle({}));

  it('begins with the roots of an enrolment bundle', () => {
    expect(known.sequence).to.equal(5);
    expect(known.addresses).to.deep.equal(['authority.test:7443', 'other.test:7443']);
    expect(known.intermediates).to.have.length(1);
  });

  it('answers the same for the same', () => {
    expect(followTrust(known, bundle({}))).to.equal(known);
  });

  it('goes from root to root', () => {
    const both = followTrust(known, bundle({ roots: [first, second], sequence: 6 }));
    const signers = [first, second];
    const next = followTrust(both, bundle({ roots: [second], signers, sequence: 7 }));
    expect(next.roots).to.deep.equal([Uint8Array.from(second.certificate.der)]);
  });

  it('goes on after sleeping through a rotation, by the signature of the root before', () => {
    const signers = [first, second];
    const next = followTrust(known, bundle({ roots: [second], signers, sequence: 9 }));
    expect(next.sequence).to.equal(9);
  });

  it('goes on after sleeping through two rotations, by what roots certified of each other', () => {
    const intermediates = [
      authority.crossCertify(third, second),
      authority.crossCertify(second, first),
    ];
    const next = followTrust(
      known,
      bundle({ roots: [second, third], signers: [third], intermediates, sequence: 20 }),
    );
    expect(next.sequence).to.equal(20);
  });

  it('goes on with a store that was restored, whatever its numbers', () => {
    clock.advance(1000);
    const next = followTrust(known, bundle({ epoch: 'e2', sequence: 2 }));
    expect(next).to.deep.include({ epoch: 'e2', sequence: 2 });
  });

  it('does not go back to an epoch that was left', () => {
    const old = bundle({ epoch: 'e0', sequence: 99 });
    clock.advance(1000);
    const now = followTrust(known, bundle({ epoch: 'e3', sequence: 1 }));
    expect(() => followTrust(now, old)).to.throw(TrustBundleError, /older than the one known/);
  });

  const issuing = authority.issuing;
  const cases: readonly {
    readonly what: string;
    readonly next: () => TrustBundle;
    readonly says: RegExp;
  }[] = [
    {
      what: 'signed by a stranger',
      next: () => bundle({ roots: [stranger], sequence: 6 }),
      says: /signed by no root known here/,
    },
    {
      what: 'signed by a stranger only, with our root in it',
      next: () => bundle({ roots: [first, stranger], signers: [stranger], sequence: 6 }),
      says: /signed by no root known here/,
    },
    {
      what: 'not signed',
      next: () => ({ ...bundle({ sequence: 6 }), signatures: [] }),
      says: /no root known/,
    },
    {
      what: 'signed for another content',
      next: () => ({ ...bundle({ sequence: 6 }), signatures: bundle({ sequence: 7 }).signatures }),
      says: /no root known/,
    },
    {
      what: 'older',
      next: () => bundle({ roots: [first, second], sequence: 4 }),
      says: /number 4, older than 5/,
    },
    {
      what: 'of the same number, with other roots',
      next: () => bundle({ roots: [first, second] }),
      says: /number 5 as the one known, but other roots/,
    },
    {
      what: 'of another domain',
      next: () => bundle({ domain: 'evil.test', sequence: 6 }),
      says: /of trust domain "evil.test", not example.test/,
    },
    {
      what: 'by an issuing CA that calls itself a root',
      next: () =>
        bundle({
          roots: [issuing],
          signers: [issuing],
          intermediates: [issuing.certificate.der],
          sequence: 6,
        }),
      says: /signed by no root known here/,
    },
    { what: 'without roots', next: () => bundle({ roots: [], sequence: 6 }), says: /has no root/ },
    {
      what: 'with too many roots',
      next: () => bundle({ roots: Array.from({ length: 33 }, () => first), sequence: 6 }),
      says: /too many certificates/,
    },
    {
      what: 'with a root that is no CA',
      next: () => {
        const content = TrustBundleContent.decode(bundle({ sequence: 6 }).content);
        content.roots = [Buffer.from('3003020101', 'hex')];
        return {
          content: Buffer.from(TrustBundleContent.encode(content).finish()),
          signatures: [],
        };
      },
      says: /cannot be read/,
    },
    {
      what: 'nonsense',
      next: () => ({ content: Buffer.from('ffffffff', 'hex'), signatures: [] }),
      says: /cannot be read|has no root/,
    },
    {
      what: 'too long',
      next: () => ({ content: Buffer.alloc(600_000), signatures: [] }),
      says: /is too long/,
    },
  ];
  for (const { what, next, says } of cases) {
    it(`refuses one ${what}`, () => {
      expect(() => followTrust(known, next())).to.throw(TrustBundleError, says);
    });
  }

  it('reads what it kept', () => {
    expect(readTrustBundle(bundle({})).anchors.digest).to.deep.equal(known.anchors.digest);
  });
});
