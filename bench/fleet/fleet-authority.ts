import { createPrivateKey, type KeyObject } from 'node:crypto';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import {
  type Certificate,
  encodeName,
  encodePem,
  issueCertificate,
  parseCertificate,
} from '../../src/pki/index.ts';

export const trustDomain = 'bench.example';

/** A key with its chain. */
export interface Issued {
  readonly privateKey: KeyObject;
  readonly chain: readonly Uint8Array[];
}

/** Root key (PKCS#8) and certificate, both DER. */
export interface AuthorityKey {
  readonly pkcs8: Uint8Array;
  readonly root: Uint8Array;
}

/** What makes simulated agents possible by the thousand: a root whose key the bench itself has. */
export class FleetAuthority {
  readonly root: Certificate;
  readonly #privateKey: KeyObject;
  readonly #notBefore = new Date(Date.now() - 60_000);
  readonly #notAfter = new Date(Date.now() + 24 * 3_600_000);

  /** The same one as elsewhere, or a new one. */
  constructor(known?: AuthorityKey) {
    if (known !== undefined) {
      this.#privateKey = createPrivateKey({
        key: Buffer.from(known.pkcs8),
        format: 'der',
        type: 'pkcs8',
      });
      this.root = parseCertificate(known.root);
      return;
    }
    const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
    this.#privateKey = privateKey;
    this.root = parseCertificate(
      issueCertificate({
        subject: encodeName({ commonName: 'Bench root' }),
        publicKey,
        issuer: { privateKey },
        notBefore: this.#notBefore,
        notAfter: this.#notAfter,
        isCa: true,
      }),
    );
  }

  /** For the processes of the bench. */
  get key(): AuthorityKey {
    const pkcs8 = this.#privateKey.export({ format: 'der', type: 'pkcs8' });
    return { pkcs8, root: this.root.der };
  }

  get rootPem(): Uint8Array {
    return encodePem('CERTIFICATE', this.root.der);
  }

  /** A new key with a certificate for a SPIFFE ID, to sign or to decrypt with. */
  issue(spiffeId: string, use: 'tls' | 'decryption' = 'tls'): Issued {
    const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
    const certificate = issueCertificate({
      subjectAltNames: { uris: [spiffeId], ...(use === 'tls' ? { dnsNames: ['localhost'] } : {}) },
      publicKey,
      issuer: { certificate: this.root, privateKey: this.#privateKey },
      notBefore: this.#notBefore,
      notAfter: this.#notAfter,
      ...(use === 'tls'
        ? { extendedKeyUsage: ['serverAuth', 'clientAuth'] }
        : { keyUsage: ['keyAgreement' as const] }),
    });
    return { privateKey, chain: [certificate] };
  }
}
