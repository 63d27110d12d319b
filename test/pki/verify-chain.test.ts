import { expect } from 'chai';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import { createTrustAnchors } from '../../src/pki/trust-anchors.ts';
import { verifyChain } from '../../src/pki/verify-chain.ts';
import { rawCa, type RawIssued, rawLeaf, testNow } from '../support/raw-certificate.ts';
import { refusal, verify } from './chain-attempt.ts';

const seconds = (count: number) => new Date(testNow.getTime() + count * 1000);
const root = rawCa({ subject: 'root' });

describe('verifyChain: paths (RFC 5280 §6.1)', () => {
  const intermediate = rawCa({ subject: 'intermediate', issuer: root });
  const lower = rawCa({ subject: 'lower', issuer: intermediate });
  const leaf = rawLeaf(lower);

  it('finds the path in any order, with useless certificates among them', () => {
    const stranger = rawCa({ subject: 'stranger' });
    const { path } = verify([leaf, stranger, intermediate, lower, root], [root]);
    const expected = [leaf, lower, intermediate, root].map(({ certificate }) => certificate.der);
    expect(path.map((each) => each.der)).to.deep.equal(expected);
  });

  it('answers the earliest end of the path', () => {
    const brief = rawCa({ subject: 'brief', issuer: root, notAfter: seconds(30) });
    expect(verify([rawLeaf(brief), brief], [root]).notAfter).to.deep.equal(seconds(30));
  });

  it('copies what it keeps', () => {
    const bytes = Uint8Array.from(leaf.der);
    const verified = verifyChain({
      certificates: [bytes, lower.der, intermediate.der],
      anchors: createTrustAnchors([root.certificate]),
      now: testNow,
      purpose: 'client',
    });
    bytes.fill(0);
    expect(verified.leaf.der).to.deep.equal(leaf.der);
  });

  it('ends a path at an anchor that is not self-signed', () => {
    expect(verify([leaf, lower], [intermediate]).path).to.have.length(3);
  });

  it('takes the way round an expired cross-certificate', () => {
    const other = rawCa({ subject: 'other root' });
    const keys = generateKeyPair('ecdsa-p256');
    const shared = { subject: 'shared', keys };
    const expired = rawCa({ ...shared, issuer: other, notAfter: seconds(-1) });
    const good = rawCa({ ...shared, issuer: root });
    expect(verify([rawLeaf(good), expired, good], [root, other]).path[1]?.der).to.deep.equal(
      good.der,
    );
  });

  it('tells CAs of the same name apart by their signatures', () => {
    const twin = rawCa({ subject: 'root' });
    expect(verify([rawLeaf(root)], [twin, root]).path[1]?.der).to.deep.equal(root.der);
  });

  for (const keyKind of ['ecdsa-p256', 'ecdsa-p384', 'ed25519', 'rsa', 'rsa-pss'] as const) {
    it(`verifies a chain of ${keyKind} keys`, () => {
      const ca = rawCa({ subject: keyKind, keyKind });
      expect(verify([rawLeaf(ca, { keyKind })], [ca]).leaf.keyKind).to.equal(keyKind);
    });
  }

  const schemes: { name: string; keyKind: 'rsa' | 'ecdsa-p256' | 'ecdsa-p384'; scheme: number }[] =
    [
      { name: 'RSA with PSS', keyKind: 'rsa', scheme: 0x0805 },
      { name: 'RSA with SHA-512', keyKind: 'rsa', scheme: 0x0601 },
      { name: 'P-256 with SHA-384', keyKind: 'ecdsa-p256', scheme: 0x0503 },
      { name: 'P-384 with SHA-256', keyKind: 'ecdsa-p384', scheme: 0x0403 },
    ];
  for (const { name, keyKind, scheme } of schemes) {
    it(`verifies signatures by ${name}`, () => {
      const ca = rawCa({ subject: name, keyKind });
      const signed = rawLeaf(ca, { scheme });
      expect(verify([signed], [ca]).leaf.signatureScheme).to.equal(scheme);
    });
  }
});

describe('verifyChain: hostile sets (RFC 4158 §2.4)', () => {
  it('ends on CAs that certify each other', () => {
    const a = generateKeyPair('ecdsa-p256');
    const b = generateKeyPair('ecdsa-p256');
    const rootA = rawCa({ subject: 'a', keys: a });
    const rootB = rawCa({ subject: 'b', keys: b });
    const aByB = rawCa({ subject: 'a', keys: a, issuer: rootB });
    const bByA = rawCa({ subject: 'b', keys: b, issuer: rootA });
    const error = refusal(() => verify([rawLeaf(rootA), aByB, bByA, rootA, rootB], [root]));
    expect(error.reason).to.equal('unknown_issuer');
  });

  it('stops at the budget of signature checks', () => {
    const twins = Array.from({ length: 60 }, () => rawCa({ subject: 'twin' }));
    const leaf = rawLeaf(rawCa({ subject: 'twin' }));
    const anchors = Array.from({ length: 60 }, () => rawCa({ subject: 'twin' }));
    const error = refusal(() => verify([leaf, ...twins], anchors));
    expect(error.reason).to.equal('chain_too_complex');
  });

  it('stops at the budget of expansions where every path is genuine', () => {
    // Eight levels of three certificates for the same name and different keys, each certified by
    // each above it that exists: many genuine paths, none to an anchor.
    const chain: RawIssued[] = [];
    let level = [rawCa({ subject: 'top' })];
    for (let depth = 0; depth < 6; depth += 1) {
      const keys = Array.from({ length: 3 }, () => generateKeyPair('ecdsa-p256'));
      const subject = `level ${String(depth)}`;
      level = keys.flatMap((pair) =>
        level.slice(0, 3).map((issuer) => rawCa({ subject, keys: pair, issuer })),
      );
      chain.push(...level);
    }
    const [issuer] = level;
    if (issuer === undefined) throw new Error('no level');
    const options = { budget: { expansions: 50, signatureChecks: 10_000 } };
    const error = refusal(() => verify([rawLeaf(issuer), ...chain], [root], options));
    expect(error.reason).to.equal('chain_too_complex');
  });

  it('checks each signature once, however many paths share it', () => {
    const options = { budget: { signatureChecks: 2 } };
    const intermediate = rawCa({ subject: 'intermediate', issuer: root });
    expect(verify([rawLeaf(intermediate), intermediate], [root], options).path).to.have.length(3);
  });
});
