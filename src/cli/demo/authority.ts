import type { KeyObject } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyPair } from '../../crypto/key-generation.ts';
import {
  type Certificate,
  encodeName,
  encodePem,
  exportPkcs8Pem,
  issueCertificate,
  parseCertificate,
} from '../../pki/index.ts';

/** Files of one identity, and its key for comparison. */
export interface IssuedIdentity {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  readonly privateKey: KeyObject;
}

/**
 * A certificate authority that lives as long as the demo. Its own key is in no file.
 */
export class DemoAuthority {
  readonly #certificate: Certificate;
  readonly #privateKey: KeyObject;
  readonly #notBefore: Date;
  readonly #notAfter: Date;

  constructor() {
    const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
    this.#privateKey = privateKey;
    this.#notBefore = new Date(Date.now() - clockSkewMs);
    this.#notAfter = new Date(Date.now() + lifetimeMs);
    this.#certificate = parseCertificate(
      issueCertificate({
        subject: encodeName({ organization: 'Sidekey demo', commonName: 'Throw-away root' }),
        publicKey,
        issuer: { privateKey },
        notBefore: this.#notBefore,
        notAfter: this.#notAfter,
        isCa: true,
        pathLength: 0,
      }),
    );
  }

  /** PEM of the root. */
  get rootPem(): Uint8Array {
    return encodePem('CERTIFICATE', this.#certificate.der);
  }

  /** Makes a P-256 key and a certificate for it, good for both roles, and writes them to files. */
  async issue(
    directory: string,
    name: string,
    names: { readonly uris?: readonly string[]; readonly dnsNames?: readonly string[] },
  ): Promise<IssuedIdentity> {
    const { publicKey, privateKey } = generateKeyPair('ecdsa-p256');
    const certificate = issueCertificate({
      subject: encodeName({ organization: 'Sidekey demo', commonName: name }),
      subjectAltNames: names,
      publicKey,
      issuer: { certificate: this.#certificate, privateKey: this.#privateKey },
      notBefore: this.#notBefore,
      notAfter: this.#notAfter,
      extendedKeyUsage: ['serverAuth', 'clientAuth'],
    });
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const certificateFile = join(directory, `${name}.pem`);
    const privateKeyFile = join(directory, `${name}.key`);
    await writeFile(certificateFile, encodePem('CERTIFICATE', certificate));
    const pem = exportPkcs8Pem(privateKey);
    await writeFile(privateKeyFile, pem, { mode: 0o600, flag: 'wx' });
    pem.fill(0);
    return { certificateFile, privateKeyFile, privateKey };
  }
}

const clockSkewMs = 60_000;
const lifetimeMs = 3_600_000;
