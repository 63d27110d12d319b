import { expect } from 'chai';
import { verifySignature } from '../../src/crypto/signatures.ts';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { ClientSessionCache } from '../../src/sidecar/session-cache.ts';
import { Signer } from '../../src/sidecar/signer.ts';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import type { ClientSession } from '../../src/tls/config.ts';

describe('ClientSessionCache', () => {
  const start = new Date('2030-01-01T00:00:00Z');
  const after = (seconds: number) => new Date(start.getTime() + seconds * 1000);

  function session(lifetimeHintSeconds = 0, secret = 7): ClientSession {
    return {
      ticket: Buffer.from('ticket'),
      cipherSuite: cipherSuites[0]!,
      masterSecret: Buffer.alloc(48, secret),
      serverName: undefined,
      createdAt: start,
      lifetimeHintSeconds,
      peerCertificates: [],
      credential: undefined,
    };
  }

  it('gives a session once', () => {
    const cache = new ClientSessionCache(10, 3600);
    cache.store('a', session());
    expect(cache.take('a', after(1))?.masterSecret[0]).to.equal(7);
    expect(cache.take('a', after(1))).to.equal(undefined);
  });

  it('keeps a session for each of several connections to one server, the last one first', () => {
    const cache = new ClientSessionCache(10, 3600);
    for (const secret of [1, 2, 3]) cache.store('a', session(0, secret));
    const taken = [1, 2, 3, 4].map(() => cache.take('a', start)?.masterSecret[0]);
    expect(taken).to.deep.equal([3, 2, 1, undefined]);
    expect(cache.size).to.equal(0);
  });

  it('passes over sessions that are too old', () => {
    const cache = new ClientSessionCache(10, 3600);
    cache.store('a', session(0, 1));
    cache.store('a', session(60, 2));
    expect(cache.take('a', after(100))?.masterSecret[0]).to.equal(1);
    expect(cache.size).to.equal(0);
  });

  it('keeps a bounded number for one server', () => {
    const cache = new ClientSessionCache(1000, 3600);
    for (let stored = 0; stored < 100; stored += 1) cache.store('a', session());
    expect(cache.size).to.equal(64);
  });

  it('keeps secrets of its own', () => {
    const cache = new ClientSessionCache(10, 3600);
    const given = session();
    cache.store('a', given);
    given.masterSecret.fill(0);
    expect(cache.take('a', start)?.masterSecret[0]).to.equal(7);
  });

  for (const { name, hint, age, fresh } of [
    { name: 'within our own limit', hint: 0, age: 3599, fresh: true },
    { name: 'beyond our own limit', hint: 0, age: 3600, fresh: false },
    { name: 'within the server’s hint', hint: 60, age: 59, fresh: true },
    { name: 'beyond the server’s hint', hint: 60, age: 60, fresh: false },
    { name: 'beyond our limit, whatever the server’s hint', hint: 86_400, age: 3600, fresh: false },
    { name: 'from the future', hint: 0, age: -1, fresh: false },
  ]) {
    it(`${fresh ? 'gives' : 'drops'} a session ${name} (RFC 5077 §3.3)`, () => {
      const cache = new ClientSessionCache(10, 3600);
      cache.store('a', session(hint));
      expect(cache.take('a', after(age)) !== undefined).to.equal(fresh);
    });
  }

  it('drops the one stored first when it is full', () => {
    const cache = new ClientSessionCache(2, 3600);
    for (const key of ['a', 'b', 'c']) cache.store(key, session());
    expect(cache.size).to.equal(2);
    expect(cache.take('a', start)).to.equal(undefined);
    expect(cache.take('c', start)).to.not.equal(undefined);
  });

  it('holds nothing when it may hold none, or was cleared', () => {
    const none = new ClientSessionCache(0, 3600);
    none.store('a', session());
    expect(none.size).to.equal(0);
    const cache = new ClientSessionCache(2, 3600);
    cache.store('a', session());
    cache.clear();
    expect(cache.size).to.equal(0);
  });
});

describe('Signer', () => {
  it('signs at once with ECDSA and Ed25519', () => {
    for (const [kind, scheme] of [
      ['ecdsa-p256', 0x0403],
      ['ed25519', 0x0807],
    ] as const) {
      const { privateKey, publicKey } = generateKeyPair(kind);
      const signature = new Signer(1).sign(privateKey, scheme, Buffer.from('content'));
      if (signature instanceof Promise) throw new Error('signed elsewhere');
      expect(verifySignature(publicKey, scheme, Buffer.from('content'), signature)).to.equal(true);
    }
  });

  it('signs elsewhere with RSA, in turn when there are more than it may at once', async () => {
    const { privateKey, publicKey } = generateKeyPair('rsa');
    const signer = new Signer(2);
    const contents = Array.from({ length: 7 }, (_, index) =>
      Buffer.from(`content ${String(index)}`),
    );
    const signatures = await Promise.all(
      contents.map(async (content) => await signer.sign(privateKey, 0x0804, content)),
    );
    for (const [index, signature] of signatures.entries()) {
      expect(verifySignature(publicKey, 0x0804, contents[index]!, signature)).to.equal(true);
    }
  });

  it('goes on after a signature that failed', async () => {
    const { privateKey } = generateKeyPair('rsa');
    const signer = new Signer(1);
    const outcomes = await Promise.allSettled(
      [0x0403, 0x0403, 0x0804].map(
        async (scheme) => await signer.sign(privateKey, scheme, Buffer.from('x')),
      ),
    );
    expect(outcomes.map(({ status }) => status)).to.deep.equal([
      'rejected',
      'rejected',
      'fulfilled',
    ]);
  });
});
