import {
  constants,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign as nodeSign,
  type KeyObject,
} from 'node:crypto';
import { expect } from 'chai';
import { keyKindOf, type KeyKind } from '../../src/crypto/keys.ts';
import {
  isAcceptableKey,
  rsaModulusBytes,
  schemeFitsKey,
  schemesForKey,
  schemesOfRestrictedKey,
  sign,
  signatureAlgorithm,
  signSync,
  verifySignature,
} from '../../src/crypto/signatures.ts';

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const message = Buffer.from('what is signed');
const pairs: Readonly<Record<KeyKind, Pair>> = {
  'ecdsa-p256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ecdsa-p384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  ed25519: generateKeyPairSync('ed25519'),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'rsa-pss': generateKeyPairSync('rsa-pss', { modulusLength: 2048 }),
};
const kinds = Object.keys(pairs) as readonly KeyKind[];

/** RFC 8446 §4.2.3 with RFC 5246 §7.4.1.4.1: what each kind of key may sign in TLS 1.2. */
const allowed: Readonly<Record<KeyKind, readonly number[]>> = {
  'ecdsa-p256': [0x0403, 0x0503],
  'ecdsa-p384': [0x0503, 0x0403],
  ed25519: [0x0807],
  rsa: [0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601],
  'rsa-pss': [0x0809, 0x080a, 0x080b],
};
const codes = [...new Set(Object.values(allowed).flat())];
const unspoken = [
  0,
  0x0101,
  0x0201,
  0x0202,
  0x0203,
  0x0402,
  0x0603,
  0x0708,
  0x0808,
  0x0905,
  0x0807 + 1,
];

describe('schemesForKey (RFC 8446 §4.2.3)', () => {
  for (const kind of kinds) {
    it(`lists what ${kind} can sign, PSS before PKCS #1`, () => {
      expect(schemesForKey(kind, 256)).to.deep.equal(allowed[kind]);
    });
  }

  it('leaves out what a short modulus has no room for (RFC 8017 §9.1.1)', () => {
    expect(schemesForKey('rsa', 128)).to.deep.equal([0x0804, 0x0805, 0x0401, 0x0501, 0x0601]);
    expect(schemesForKey('rsa-pss', 128)).to.deep.equal([0x0809, 0x080a]);
    expect(schemesForKey('rsa', 64)).to.deep.equal([0x0401]);
    expect(schemesForKey('rsa', 32)).to.deep.equal([]);
  });
});

describe('schemesOfRestrictedKey (RFC 4055 §3.1)', () => {
  const cases: readonly {
    readonly name: string;
    readonly hashes: { readonly hashAlgorithm?: string; readonly mgf1HashAlgorithm?: string };
    // A number, where Node's types ask for a string.
    readonly saltLength?: any;
    readonly codes: readonly number[] | undefined;
  }[] = [
    { name: 'no parameters', hashes: {}, codes: undefined },
    {
      name: 'SHA-384 throughout',
      hashes: { hashAlgorithm: 'sha384', mgf1HashAlgorithm: 'sha384' },
      saltLength: 48,
      codes: [0x080a],
    },
    {
      name: 'another hash for the mask',
      hashes: { hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha384' },
      saltLength: 32,
      codes: [],
    },
    {
      name: 'more salt than TLS takes',
      hashes: { hashAlgorithm: 'sha256', mgf1HashAlgorithm: 'sha256' },
      saltLength: 64,
      codes: [],
    },
    {
      name: 'SHA-1',
      hashes: { hashAlgorithm: 'sha1', mgf1HashAlgorithm: 'sha1' },
      saltLength: 20,
      codes: [],
    },
  ];
  for (const { name, hashes, saltLength, codes } of cases) {
    it(`gives ${codes === undefined ? 'nothing' : `[${codes.join()}]`} for ${name}`, () => {
      const { privateKey } = generateKeyPairSync('rsa-pss', {
        modulusLength: 2048,
        saltLength,
        ...hashes,
      });
      expect(schemesOfRestrictedKey(privateKey)).to.deep.equal(codes);
    });
  }

  it('gives nothing for keys of another kind', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(schemesOfRestrictedKey(privateKey)).to.equal(undefined);
  });
});

describe('signatureAlgorithm', () => {
  for (const code of codes) {
    it(`knows 0x${code.toString(16).padStart(4, '0')}`, () => {
      expect(signatureAlgorithm(code)).to.include({ code });
    });
  }
  for (const code of unspoken) {
    it(`does not know 0x${code.toString(16).padStart(4, '0')}, nor verifies it`, () => {
      expect(signatureAlgorithm(code)).to.equal(undefined);
      for (const kind of kinds) {
        expect(schemeFitsKey(code, kind, 256)).to.equal(false);
        const { publicKey } = pairs[kind];
        expect(verifySignature(publicKey, code, message, new Uint8Array(64))).to.equal(false);
      }
    });
  }
});

for (const kind of kinds) {
  const { privateKey, publicKey } = pairs[kind];
  describe(`signatures by ${kind} (RFC 8446 §4.2.3, RFC 8422 §5.4)`, () => {
    for (const code of codes) {
      const name = signatureAlgorithm(code)?.name ?? '';
      if (!allowed[kind].includes(code)) {
        it(`refuses ${name}`, async () => {
          expect(schemeFitsKey(code, kind, 256)).to.equal(false);
          expect(() => signSync(privateKey, code, message)).to.throw(TypeError);
          await rejects(sign(privateKey, code, message), TypeError);
          const other = allowed[kind].map((own) => signSync(privateKey, own, message));
          for (const signature of other) {
            expect(verifySignature(publicKey, code, message, signature)).to.equal(false);
          }
        });
        continue;
      }
      it(`verifies ${name}, made in both ways`, async () => {
        expect(keyKindOf(privateKey)).to.equal(kind);
        const signatures = [
          signSync(privateKey, code, message),
          await sign(privateKey, code, message),
        ];
        for (const signature of signatures) {
          expect(verifySignature(publicKey, code, message, signature)).to.equal(true);
          expect(verifySignature(publicKey, code, Buffer.from('else'), signature)).to.equal(false);
          expect(verifySignature(publicKey, code, message, signature.subarray(1))).to.equal(false);
          const longer = Buffer.concat([signature, Buffer.from([0])]);
          expect(verifySignature(publicKey, code, message, longer)).to.equal(false);
          expect(verifySignature(publicKey, code, message, new Uint8Array())).to.equal(false);
          const changed = Uint8Array.from(signature);
          changed[changed.length - 1]! ^= 1;
          expect(verifySignature(publicKey, code, message, changed)).to.equal(false);
        }
      });
      it(`does not take ${name} for another scheme`, () => {
        const signature = signSync(privateKey, code, message);
        for (const other of allowed[kind].filter((one) => one !== code)) {
          expect(verifySignature(publicKey, other, message, signature)).to.equal(false);
        }
      });
    }
  });
}

describe('verifySignature', () => {
  for (const saltLength of [0, 20, 31, 33, constants.RSA_PSS_SALTLEN_MAX_SIGN]) {
    it(`refuses PSS with a salt of ${String(saltLength)} (RFC 8446 §4.2.3: as long as the digest)`, () => {
      const { privateKey, publicKey } = pairs.rsa;
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const signature = nodeSign('sha256', message, { key: privateKey, padding, saltLength });
      expect(verifySignature(publicKey, 0x0804, message, signature)).to.equal(false);
    });
  }

  it('refuses ECDSA as a pair of numbers without DER', () => {
    const { privateKey, publicKey } = pairs['ecdsa-p256'];
    const signature = nodeSign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    expect(verifySignature(publicKey, 0x0403, message, signature)).to.equal(false);
  });

  it('refuses ECDSA with a BER length, and with bytes behind', () => {
    const { privateKey, publicKey } = pairs['ecdsa-p256'];
    const der = Buffer.from(signSync(privateKey, 0x0403, message));
    const ber = Buffer.concat([der.subarray(0, 1), Buffer.from([0x81]), der.subarray(1)]);
    expect(verifySignature(publicKey, 0x0403, message, ber)).to.equal(false);
  });

  it('keeps to the parameters of a restricted PSS key (RFC 4055 §1.2)', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa-pss', {
      modulusLength: 2048,
      hashAlgorithm: 'sha384',
      mgf1HashAlgorithm: 'sha384',
    });
    const signature = signSync(privateKey, 0x080a, message);
    expect(verifySignature(publicKey, 0x080a, message, signature)).to.equal(true);
    expect(verifySignature(publicKey, 0x0809, message, signature)).to.equal(false);
    expect(() => signSync(privateKey, 0x0809, message)).to.throw();
  });

  it('takes other keys for no keys', () => {
    const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    const signature = nodeSign('sha256', message, secp256k1.privateKey);
    expect(verifySignature(secp256k1.publicKey, 0x0403, message, signature)).to.equal(false);
  });
});

describe('isAcceptableKey', () => {
  for (const kind of kinds) {
    it(`takes ${kind}`, () => {
      expect(isAcceptableKey(pairs[kind].publicKey)).to.equal(true);
    });
  }

  it('refuses RSA of 1024 bits, and its signatures', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    expect(isAcceptableKey(publicKey)).to.equal(false);
    expect(rsaModulusBytes(publicKey)).to.equal(128);
    const signature = signSync(privateKey, 0x0401, message);
    expect(verifySignature(publicKey, 0x0401, message, signature)).to.equal(false);
  });

  for (const [what, e, acceptable] of [
    ['3', '03', false],
    ['65535', '00ffff', false],
    ['65537', '010001', true],
    ['65538', '010002', false],
    ['65539', '010003', true],
    ['2^33 - 1', '01ffffffff', true],
    ['2^33 + 1', '0200000001', false],
    ['2^64 + 1', '010000000000000001', false],
  ] as const) {
    it(`${acceptable ? 'takes' : 'refuses'} RSA with exponent ${what}`, () => {
      const n = pairs.rsa.publicKey.export({ format: 'der', type: 'pkcs1' }).subarray(9, 9 + 256);
      const key = createPublicKey({
        key: pkcs1(n, Buffer.from(e, 'hex')),
        format: 'der',
        type: 'pkcs1',
      });
      expect(isAcceptableKey(key)).to.equal(acceptable);
    });
  }

  for (const [bits, acceptable] of [
    [2047, false],
    [2048, true],
    [8192, true],
    [8193, false],
  ] as const) {
    it(`${acceptable ? 'takes' : 'refuses'} RSA of ${String(bits)} bits`, () => {
      const n = Buffer.alloc(Math.ceil(bits / 8), 0xa5);
      n[0] = 1 << ((bits - 1) % 8);
      const key = createPublicKey({
        key: pkcs1(n, Buffer.from('010001', 'hex')),
        format: 'der',
        type: 'pkcs1',
      });
      expect(isAcceptableKey(key)).to.equal(acceptable);
    });
  }

  it('knows no secp521r1, X25519, Ed448 or DSA', () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' });
    expect(isAcceptableKey(publicKey)).to.equal(false);
    expect(isAcceptableKey(generateKeyPairSync('x25519').publicKey)).to.equal(false);
    expect(isAcceptableKey(generateKeyPairSync('ed448').publicKey)).to.equal(false);
  });
});

describe('verifySignature', () => {
  it('refuses one for RSA whose leading zero is left out (RFC 8017 §8.1.2 step 1)', () => {
    const { privateKey, publicKey } = pairs.rsa;
    // One in 256 begins with a zero.
    let signature;
    do signature = signSync(privateKey, 0x0804, message);
    while (signature[0] !== 0);
    expect(verifySignature(publicKey, 0x0804, message, signature)).to.equal(true);
    expect(verifySignature(publicKey, 0x0804, message, signature.subarray(1))).to.equal(false);
  });
});

describe('sign', () => {
  it('rejects when the key itself refuses', async () => {
    const { privateKey } = generateKeyPairSync('rsa-pss', {
      modulusLength: 2048,
      hashAlgorithm: 'sha512',
      mgf1HashAlgorithm: 'sha512',
    });
    await rejects(sign(privateKey, 0x0809, message), Error);
  });

  it('works with a key read from PKCS #8', async () => {
    const der = pairs.rsa.privateKey.export({ format: 'der', type: 'pkcs8' });
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    const signature = await sign(key, 0x0804, message);
    expect(verifySignature(pairs.rsa.publicKey, 0x0804, message, signature)).to.equal(true);
  });
});

/** RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017 A.1.1). */
function pkcs1(modulus: Uint8Array, exponent: Uint8Array): Buffer {
  return der(0x30, Buffer.concat([integer(modulus), integer(exponent)]));
}

function integer(bytes: Uint8Array): Buffer {
  const sign = bytes[0]! >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0);
  return der(0x02, Buffer.concat([sign, bytes]));
}

function der(tag: number, body: Uint8Array): Buffer {
  const length = Buffer.from([0x82, body.length >>> 8, body.length & 0xff]);
  const short = Buffer.from([body.length]);
  return Buffer.concat([
    Buffer.from([tag]),
    body.length < 128 ? short : body.length < 256 ? Buffer.from([0x81, body.length]) : length,
    body,
  ]);
}

async function rejects(promise: Promise<unknown>, type: new () => Error): Promise<void> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(outcome).to.be.instanceOf(type);
}
