import { expect } from 'chai';
import { type AdmissionLimits, defaultAdmissionLimits } from '../../../src/ca/index.ts';
import { Admission } from '../../../src/ca/admission/admission.ts';
import { RetrySlots } from '../../../src/ca/admission/retry-slots.ts';
import { SourceBuckets } from '../../../src/ca/admission/source-buckets.ts';
import type { RequestedKey } from '../../../src/ca/keys/crypto-protocol.ts';
import { choosePolicy, type NamedPolicy } from '../../../src/ca/policy/policies.ts';
import { issuancePolicy } from '../../../src/ca/policy/policy.ts';
import { allowsDecryptionKey, allowsKey, dnsNamesOf } from '../../../src/ca/policy/rules.ts';
import { checkProperties } from '../../../src/ca/tokens/properties.ts';
import { encodeTokenPayload, parseToken, tokenText } from '../../../src/ca/tokens/token.ts';
import { ServiceError } from '../../../src/rpc/errors.ts';
import { testClock } from './authority-fixture.ts';

const policyOf = (name: string, document: object): [string, NamedPolicy] => [
  name,
  { name, version: 1, policy: issuancePolicy.parse(document) },
];

describe('policies', () => {
  const policies = new Map([
    policyOf('all', { match: { roles: ['agent', 'service'] } }),
    policyOf('blue', { match: { roles: ['agent'], properties: { cluster: 'blue' } }, priority: 5 }),
    policyOf('azure', {
      match: { roles: ['agent'], properties: { cluster: 'blue' } },
      priority: 5,
    }),
    policyOf('any', { match: { roles: ['agent'], properties: { site: '*' } }, priority: 7 }),
  ]);
  const cases = [
    { role: 'agent', properties: {}, chosen: 'all' },
    { role: 'agent', properties: { cluster: 'red' }, chosen: 'all' },
    { role: 'agent', properties: { cluster: 'blue' }, chosen: 'azure' },
    { role: 'agent', properties: { cluster: 'blue', site: '' }, chosen: 'any' },
    { role: 'service', properties: { cluster: 'blue' }, chosen: 'all' },
    { role: 'operator', properties: {}, chosen: undefined },
    {
      role: 'agent',
      properties: JSON.parse('{"__proto__":"x"}') as Record<string, string>,
      chosen: 'all',
    },
  ] as const;
  for (const { role, properties, chosen } of cases) {
    it(`chooses ${chosen ?? 'none'} for ${role} ${JSON.stringify(properties)}`, () => {
      expect(choosePolicy(policies, role, properties)?.name).to.equal(chosen);
    });
  }

  const key = (kind: RequestedKey['kind'], bits = 0): RequestedKey => ({
    kind,
    bits,
    publicKeyInfo: new Uint8Array(),
    keyHash: new Uint8Array(),
    keyIdentifier: new Uint8Array(),
  });

  it('allows RSA keys of at least the size named', () => {
    expect(allowsKey(['rsa-3072'], key('rsa', 2048))).to.equal(false);
    expect(allowsKey(['rsa-3072'], key('rsa', 3072))).to.equal(true);
    expect(allowsKey(['rsa-3072'], key('rsa-pss', 4096))).to.equal(true);
    expect(allowsKey(['ecdsa-p256'], key('rsa', 4096))).to.equal(false);
    expect(allowsKey(['ecdsa-p256'], key('ecdsa-p384'))).to.equal(false);
  });

  it('allows no decryption keys that cannot decrypt', () => {
    const policy = issuancePolicy.parse({ match: { roles: ['agent'] } });
    expect(allowsDecryptionKey(policy, key('rsa-pss', 4096))).to.equal(false);
    expect(allowsDecryptionKey(policy, key('ed25519'))).to.equal(false);
    expect(allowsDecryptionKey(policy, key('rsa', 2048))).to.equal(true);
  });

  for (const { dns, names } of [
    { dns: 'a.example', names: ['a.example'] },
    { dns: 'x.apps.example, y.apps.example', names: ['x.apps.example', 'y.apps.example'] },
    { dns: 'apps.example', names: undefined },
    { dns: 'a.b.apps.example', names: undefined },
    { dns: '.apps.example', names: undefined },
    { dns: '*.apps.example', names: undefined },
    { dns: 'A.example', names: undefined },
    { dns: '', names: undefined },
    { dns: 'a.example,bank.example', names: undefined },
  ]) {
    it(`gives ${names?.join(' ') ?? 'nothing'} for the property dns "${dns}"`, () => {
      const policy = issuancePolicy.parse({
        match: { roles: ['agent'] },
        dnsNames: ['a.example', '*.apps.example'],
      });
      expect(dnsNamesOf(policy, { dns })).to.deep.equal(names);
    });
  }

  for (const { what, properties } of [
    {
      what: 'more than 32',
      properties: Object.fromEntries(
        Array.from({ length: 33 }, (_, index) => [`p${String(index)}`, '']),
      ),
    },
    { what: 'a name with spaces', properties: { 'a b': '' } },
    { what: 'a long value', properties: { a: 'x'.repeat(257) } },
    { what: 'control characters', properties: { a: 'x\ny' } },
  ]) {
    it(`takes no properties with ${what}`, () => {
      expect(checkProperties(properties).ok).to.equal(false);
    });
  }
});

describe('token texts', () => {
  const payload = encodeTokenPayload({
    keyId: new Uint8Array(8).fill(1),
    id: new Uint8Array(16).fill(2),
    kind: 'enroll',
    expiresAt: 1_800_000_000_000,
    propertiesDigest: new Uint8Array(32).fill(3),
    role: 'agent',
  });
  const text = tokenText(payload, new Uint8Array(64).fill(4));

  it('are read as they were written', () => {
    expect(parseToken(text)).to.deep.include({
      kind: 'enroll',
      role: 'agent',
      expiresAt: 1_800_000_000_000,
    });
  });

  it('have one form only', () => {
    const last = text.at(-1) === 'A' ? 'B' : 'A';
    const variants = [
      `${text}=`,
      ` ${text}`,
      text.replace('sk1', 'sk2'),
      // The last character of a payload or signature has bits that decoders ignore.
      text.slice(0, -1) + last,
      text.replaceAll('B', '+'),
      '',
    ];
    for (const variant of variants) {
      const parsed = parseToken(variant);
      if (parsed === undefined) continue;
      expect(tokenText(parsed.payload, parsed.signature)).to.equal(variant);
    }
    expect(parseToken(`${text}=`)).to.equal(undefined);
    expect(parseToken(text.replace('sk1', 'sk2'))).to.equal(undefined);
  });

  it('refuse every version, kind and role that is not known', () => {
    for (const [at, value] of [
      [0, 2],
      [25, 3],
      [66, 5],
      [26, 0xff],
    ] as const) {
      const changed = Uint8Array.from(payload);
      changed[at] = value;
      expect(parseToken(tokenText(changed, new Uint8Array(64)))).to.equal(undefined);
    }
  });
});

describe('admission', () => {
  const limits: AdmissionLimits = {
    ...defaultAdmissionLimits,
    inFlight: 9,
    source: { burst: 100, perSecond: 1, maxSources: 4 },
  };

  it('keeps a third for renewals, and says when to come again', () => {
    const admission = new Admission(limits, testClock().now);
    const admitted = Array.from({ length: 6 }, () => admission.admit('enroll', 'a'));
    expect(() => admission.admit('enroll', 'b'))
      .to.throw(ServiceError)
      .with.property('retryAfterMs');
    for (let index = 0; index < 3; index += 1) admission.admit('renew', 'c');
    expect(() => admission.admit('renew', 'c')).to.throw(ServiceError);
    admitted[0]!.end(true);
    admitted[0]!.end(true);
    expect(admission.inFlight).to.equal(8);
    admission.admit('renew', 'c');
  });

  it('lets sources wait for their failures', () => {
    const clock = testClock();
    const buckets = new SourceBuckets({ burst: 3, perSecond: 1, maxSources: 2 }, clock.now);
    for (let index = 0; index < 3; index += 1) {
      expect(buckets.waitMs('bad')).to.equal(0);
      buckets.failed('bad');
    }
    // Each later than the one before, as they may fail once a second.
    expect([buckets.waitMs('bad'), buckets.waitMs('bad')]).to.deep.equal([1000, 2000]);
    expect(buckets.waitMs('good')).to.equal(0);
    clock.advance(3000);
    expect(buckets.waitMs('bad')).to.equal(0);
    buckets.failed('bad');
    const waits = Array.from({ length: 100 }, () => buckets.waitMs('bad'));
    expect(Math.max(...waits)).to.equal(30_000);
    buckets.failed('third');
    buckets.failed('fourth');
    expect(buckets.size).to.equal(2);
  });

  it('gives each that comes too early a slot of its own', () => {
    const slots = new RetrySlots(testClock().now, 1000);
    const waits = Array.from({ length: 5000 }, () => slots.take());
    expect(new Set(waits).size).to.equal(5000);
    expect(Math.max(...waits)).to.be.closeTo(5100, 10);
    for (let index = 0; index < 700_000; index += 1) slots.take();
    expect(slots.take()).to.be.at.most(600_000);
  });
});
