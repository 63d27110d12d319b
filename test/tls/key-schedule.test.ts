import { expect } from 'chai';
import { createHmac } from 'node:crypto';
import { cipherSuites, type CipherSuite } from '../../src/tls/cipher-suites.ts';
import {
  checkExporterRequest,
  exportKeyingMaterial,
  extendedMasterSecret,
  keyBlock,
  masterSecret,
  verifyData,
} from '../../src/tls/key-schedule.ts';
import { bytesOf, plain } from '../support/codec-suite.ts';

/** NIST CAVP, SP 800-135 TLS: first case each of TLS 1.2 with SHA-256 and SHA-384. */
const cavp = [
  {
    hash: 'sha256',
    preMasterSecret:
      'f8938ecc9edebc5030c0c6a441e213cd24e6f770a50dda07876f8d55da062bcadb386b411fd4fe4313a604fce6c17fbc',
    serverHelloRandom: 'f6c9575ed7ddd73e1f7d16eca115415812a43c2b747daaaae043abfb50053fce',
    clientHelloRandom: '36c129d01a3200894b9179faac589d9835d58775f9b5ea3587cb8fd0364cae8c',
    serverRandom: 'ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868',
    clientRandom: '62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616',
    masterSecret:
      '202c88c00f84a17a20027079604787461176455539e705be730890602c289a5001e34eeb3a043e5d52a65e66125188bf',
    keyBlock:
      'd06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531016a2530c51a3a0f7e1d6590d0f0566b2f387f8d11fd4f731cdd572d2eae927f6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928',
  },
  {
    hash: 'sha384',
    preMasterSecret:
      'a5e2642633f5b8c81ad3fe0c2fe3a8e5ef806b06121dd10df4bb0fe857bfdcf522558e05d2682c9a80c741a3aab1716f',
    serverHelloRandom: 'cb6e0b3eb02976b6466dfa9651c2919414f1648fd3a7838d02153e5bd39535b6',
    clientHelloRandom: 'abe4bf5527429ac8eb13574d2709e8012bd1a113c6d3b1d3aa2c3840518778ac',
    serverRandom: '1b1c8568344a65c30828e7483c0e353e2c68641c9551efae6927d9cd627a107c',
    clientRandom: '954b5fe1849c2ede177438261f099a2fcd884d001b9fe1de754364b1f6a6dd8e',
    masterSecret:
      'b4d49bfa87747fe815457bc3da15073d6ac73389e703079a3503c09e14bd559a5b3c7c601c7365f6ea8c68d3d9596827',
    keyBlock:
      '10fd89ef689c7ef033387b8a8f3e5e8e7c11f680f6bdd71fbac3246a73e98d45d03185dde686e6b2369e4503e9dc5a6d2cee3e2bf2fa3f41d3de57dff3e197c8a9d5f74cc2d277119d894f8584b07a0a5822f0bd68b3433ec6adaf5c9406c5f3ddbb71bbe17ce98f3d4d5893d3179ef369f57aad908e2bf710639100c3ce7e0c',
  },
] as const;

/** First block of P_hash, written out once more: enough for outputs up to one hash. */
function firstBlock(hash: string, secret: Uint8Array, labelAndSeed: Uint8Array): Uint8Array {
  const a = createHmac(hash, secret).update(labelAndSeed).digest();
  return createHmac(hash, secret).update(a).update(labelAndSeed).digest();
}

const master = bytesOf('5a'.repeat(48));
const clientRandom = bytesOf('c0'.repeat(32));
const serverRandom = bytesOf('50'.repeat(32));

for (const vector of cavp) {
  describe(`masterSecret (RFC 5246 §8.1) with ${vector.hash}`, () => {
    it('gives the value of CAVP', () => {
      const secret = masterSecret(
        vector.hash,
        bytesOf(vector.preMasterSecret),
        bytesOf(vector.clientHelloRandom),
        bytesOf(vector.serverHelloRandom),
      );
      expect(plain(secret)).to.equal(vector.masterSecret);
    });
  });
}

const lengths: readonly { suite: CipherSuite; block: number }[] = cipherSuites.map((suite) => ({
  suite,
  block: { 'aes-128-gcm': 40, 'aes-256-gcm': 72, 'chacha20-poly1305': 88 }[suite.aead],
}));

for (const { suite, block } of lengths) {
  describe(`keyBlock (RFC 5246 §6.3) of ${suite.name}`, () => {
    const vector = cavp.find(({ hash }) => hash === suite.hash) ?? cavp[0];
    const derive = (): ReturnType<typeof keyBlock> =>
      keyBlock(
        suite,
        bytesOf(vector.masterSecret),
        bytesOf(vector.serverRandom),
        bytesOf(vector.clientRandom),
      );

    it(`cuts the ${String(block)} bytes of CAVP into keys, then implicit nonces`, () => {
      const keys = derive();
      const { clientWriteKey, serverWriteKey, clientWriteIv, serverWriteIv } = keys;
      expect(plain(bytesOf(clientWriteKey, serverWriteKey, clientWriteIv, serverWriteIv))).to.equal(
        vector.keyBlock.slice(0, 2 * block),
      );
      expect(clientWriteKey).to.have.length(suite.keyLength);
      expect(serverWriteKey).to.have.length(suite.keyLength);
      expect(clientWriteIv).to.have.length(suite.fixedNonceLength);
      expect(serverWriteIv).to.have.length(suite.fixedNonceLength);
    });

    it('forgets everything when wiped', () => {
      const keys = derive();
      keys.wipe();
      for (const bytes of [
        keys.clientWriteKey,
        keys.serverWriteKey,
        keys.clientWriteIv,
        keys.serverWriteIv,
      ]) {
        expect(bytes.every((byte) => byte === 0)).to.equal(true);
      }
    });
  });
}

describe('extendedMasterSecret (RFC 7627 §4)', () => {
  it('is bound to the session hash and nothing else', () => {
    const sessionHash = bytesOf('77'.repeat(48));
    const secret = extendedMasterSecret('sha384', master, sessionHash);
    const seed = bytesOf(Buffer.from('extended master secret'), sessionHash);
    expect(plain(secret)).to.equal(plain(firstBlock('sha384', master, seed)));
    expect(secret).to.have.length(48);
  });
});

describe('verifyData (RFC 5246 §7.4.9)', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    for (const label of ['client finished', 'server finished'] as const) {
      it(`is 12 bytes of the PRF over "${label}" and the ${hash} of the transcript`, () => {
        const transcriptHash = bytesOf('42'.repeat(32));
        const expected = firstBlock(hash, master, bytesOf(Buffer.from(label), transcriptHash));
        expect(plain(verifyData(hash, master, label, transcriptHash))).to.equal(
          plain(expected.subarray(0, 12)),
        );
      });
    }
  }
});

describe('exportKeyingMaterial (RFC 5705 §4)', () => {
  const label = 'EXPORTER-test';
  const exported = (context?: Uint8Array): unknown =>
    plain(
      exportKeyingMaterial('sha256', master, clientRandom, serverRandom, {
        label,
        length: 32,
        ...(context === undefined ? {} : { context }),
      }),
    );
  const expected = (...tail: (string | Uint8Array)[]): unknown =>
    plain(
      firstBlock(
        'sha256',
        master,
        bytesOf(Buffer.from(label), clientRandom, serverRandom, ...tail),
      ),
    );

  it('hashes both randoms when there is no context', () => {
    expect(exported()).to.equal(expected());
  });

  it('appends a context with its length', () => {
    expect(exported(bytesOf('aabbcc'))).to.equal(expected('0003 aabbcc'));
  });

  it('tells an empty context from none', () => {
    expect(exported(bytesOf())).to.equal(expected('0000'));
    expect(exported(bytesOf())).not.to.equal(exported());
  });

  it("takes an empty label, which is nobody else's", () => {
    const value = exportKeyingMaterial('sha256', master, clientRandom, serverRandom, {
      label: '',
      length: 32,
    });
    expect(plain(value)).to.equal(
      plain(firstBlock('sha256', master, bytesOf(clientRandom, serverRandom))),
    );
  });

  it('gives as many bytes as asked for', () => {
    const value = exportKeyingMaterial('sha384', master, clientRandom, serverRandom, {
      label,
      length: 1000,
    });
    expect(value).to.have.length(1000);
  });

  const refused: readonly { name: string; label?: string; length?: number; context?: number }[] = [
    { name: 'the label of Finished (client)', label: 'client finished' },
    { name: 'the label of Finished (server)', label: 'server finished' },
    { name: 'the label of the master secret', label: 'master secret' },
    { name: 'the label of the extended master secret', label: 'extended master secret' },
    { name: 'the label of the key block', label: 'key expansion' },
    { name: 'a label that is not ASCII', label: 'EXPORTER-ü' },
    { name: 'a label with a control character', label: 'EXPORTER-\0' },
    { name: 'no bytes', length: 0 },
    { name: 'half a byte', length: 0.5 },
    { name: 'too many bytes', length: 0x10000 },
    { name: 'a context too long for its length', context: 0x10000 },
  ];
  for (const { name, label: badLabel, length = 32, context } of refused) {
    it(`refuses ${name}`, () => {
      const request = {
        label: badLabel ?? label,
        length,
        ...(context === undefined ? {} : { context: new Uint8Array(context) }),
      };
      expect(() => {
        checkExporterRequest(request);
      }).to.throw(RangeError);
      expect(() =>
        exportKeyingMaterial('sha256', master, clientRandom, serverRandom, request),
      ).to.throw(RangeError);
    });
  }
});
