import { expect } from 'chai';
import { requireSameRecords } from '../../src/crypto/record-cipher-self-test.ts';
import {
  recordCipherProvider,
  type RecordCipherProvider,
  type RecordOpenCipher,
  type RecordSealCipher,
} from '../../src/crypto/record-cipher.ts';

const node = recordCipherProvider('node');

describe('requireSameRecords', () => {
  it('accepts a provider that does the same', () => {
    expect(() => {
      requireSameRecords(node, node);
    }).not.to.throw();
  });

  it('refuses one that seals something else', () => {
    const tested = changed({
      seal(cipher, type, plaintext, body) {
        cipher.seal(type, plaintext, body);
        if (plaintext.length === 16_384) body[100]! ^= 1;
      },
    });
    expectRefusal(tested, 'differs');
  });

  it('refuses one that lets the explicit nonce be anything', () => {
    const tested = changed({
      seal(cipher, type, plaintext, body) {
        cipher.seal(type, plaintext, body);
        body[7]! ^= 1;
      },
    });
    expectRefusal(tested, 'differs');
  });

  it('refuses one that opens what is forged', () => {
    const tested = changed({
      open: (cipher, type, body) => cipher.open(type, body) ?? new Uint8Array(),
    });
    expectRefusal(tested, 'forged');
  });

  it('refuses one that opens to something else', () => {
    const tested = changed({
      open: (cipher, type, body) => cipher.open(type, body)?.fill(0),
    });
    expectRefusal(tested, 'cannot open');
  });

  it('refuses one that cannot open at all', () => {
    expectRefusal(changed({ open: () => undefined }), 'cannot open');
  });
});

interface Changes {
  seal?: (cipher: RecordSealCipher, type: number, plaintext: Uint8Array, body: Uint8Array) => void;
  open?: (cipher: RecordOpenCipher, type: number, body: Uint8Array) => Uint8Array | undefined;
}

/** The provider `node` with a fault. */
function changed({ seal, open }: Changes): RecordCipherProvider {
  return {
    name: 'native',
    createSealCipher(parameters) {
      const cipher = node.createSealCipher(parameters);
      return {
        explicitNonceBytes: cipher.explicitNonceBytes,
        sequenceNumber: 0n,
        prepare: () => undefined,
        free: () => undefined,
        seal(type, plaintext, body) {
          if (seal) seal(cipher, type, plaintext, body);
          else cipher.seal(type, plaintext, body);
        },
      };
    },
    createOpenCipher(parameters) {
      const cipher = node.createOpenCipher(parameters);
      return {
        explicitNonceBytes: cipher.explicitNonceBytes,
        get sequenceNumber() {
          return cipher.sequenceNumber;
        },
        prepare: () => undefined,
        free: () => undefined,
        open: (type, body) => (open ? open(cipher, type, body) : cipher.open(type, body)),
      };
    },
  };
}

function expectRefusal(tested: RecordCipherProvider, message: string): void {
  expect(() => {
    requireSameRecords(tested, node);
  }).to.throw(message);
}
