import { expect } from 'chai';
import fc from 'fast-check';
import { cipherSuites } from '../../src/tls/cipher-suites.ts';
import {
  decodeServerSession,
  encodeServerSession,
  type ServerSession,
} from '../../src/tls/session-state.ts';
import { bytesOf, plain } from '../support/codec-suite.ts';

const session: ServerSession = {
  cipherSuite: cipherSuites[0]!,
  extendedMasterSecret: true,
  masterSecret: bytesOf('5a'.repeat(48)),
  createdAt: new Date('2026-01-02T03:04:05.678Z'),
  serverName: 'a.example',
  credentialFingerprint: bytesOf('fe'.repeat(32)),
  clientAuth: 'require',
  sessionContext: bytesOf('c0c1'),
  peerCertificates: [bytesOf('3001'), bytesOf('3002ff')],
};

const sessions: fc.Arbitrary<ServerSession> = fc.record({
  cipherSuite: fc.constantFrom(...cipherSuites),
  extendedMasterSecret: fc.boolean(),
  masterSecret: fc.uint8Array({ minLength: 48, maxLength: 48 }),
  createdAt: fc.date({ min: new Date(0), noInvalidDate: true }),
  serverName: fc.option(fc.domain(), { nil: undefined }),
  credentialFingerprint: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  clientAuth: fc.constantFrom('none', 'request', 'require'),
  sessionContext: fc.uint8Array({ maxLength: 255 }),
  peerCertificates: fc.array(fc.uint8Array({ minLength: 1, maxLength: 600 }), { maxLength: 4 }),
});

describe('ServerSession (RFC 5077 §4)', () => {
  it('reads whatever it writes', () => {
    fc.assert(
      fc.property(sessions, (given) => {
        expect(plain(decodeServerSession(encodeServerSession(given)))).to.deep.equal(plain(given));
      }),
    );
  });

  it('copies what it reads, so the plaintext may be wiped', () => {
    const plaintext = encodeServerSession(session);
    const decoded = decodeServerSession(plaintext);
    plaintext.fill(0);
    expect(plain(decoded)).to.deep.equal(plain(session));
  });

  it('reads nothing that was cut short or grew', () => {
    const plaintext = encodeServerSession(session);
    for (let end = 0; end < plaintext.length; end++) {
      expect(decodeServerSession(plaintext.subarray(0, end))).to.equal(undefined);
    }
    expect(decodeServerSession(bytesOf(plaintext, [0]))).to.equal(undefined);
  });

  const others: readonly { name: string; offset: number; byte: number }[] = [
    { name: 'another format', offset: 0, byte: 2 },
    { name: 'a suite we do not have', offset: 2, byte: 0x01 },
    { name: 'a flag that is neither 0 nor 1', offset: 3, byte: 0x81 },
    { name: 'a time no Date can hold', offset: 53, byte: 0xff },
    { name: 'a client authentication mode we do not have', offset: 4, byte: 3 },
  ];
  for (const { name, offset, byte } of others) {
    it(`reads nothing of ${name}`, () => {
      const plaintext = encodeServerSession(session);
      plaintext[offset] = byte;
      expect(decodeServerSession(plaintext)).to.equal(undefined);
    });
  }

  const refused: readonly { name: string; change: Partial<ServerSession> }[] = [
    { name: 'a short master secret', change: { masterSecret: new Uint8Array(47) } },
    { name: 'a long fingerprint', change: { credentialFingerprint: new Uint8Array(33) } },
    { name: 'a context of 256 bytes', change: { sessionContext: new Uint8Array(256) } },
    { name: 'a time that is none', change: { createdAt: new Date(Number.NaN) } },
    { name: 'a time before 1970', change: { createdAt: new Date(-1) } },
  ];
  for (const { name, change } of refused) {
    it(`does not write ${name}`, () => {
      expect(() => encodeServerSession({ ...session, ...change })).to.throw(RangeError);
    });
  }
});
