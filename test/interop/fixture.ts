import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KeyObject } from 'node:crypto';
import { generateKeyPair } from '../../src/crypto/key-generation.ts';
import type { KeyKind } from '../../src/crypto/keys.ts';
import { parseCertificate } from '../../src/pki/certificate.ts';
import type { Certificate } from '../../src/pki/certificate.ts';
import { encodeName } from '../../src/pki/distinguished-name.ts';
import { issueCertificate } from '../../src/pki/issue-certificate.ts';
import { exportPkcs8Pem } from '../../src/pki/private-key.ts';
import { toPem } from '../support/test-ca.ts';
import type { KeyName } from './peer.ts';

/**
 * A throw-away PKI in a temporary directory: for each kind of key a root, an intermediate CA and
 * two identities, all with keys of that kind.
 */
export interface Fixture {
  readonly directory: string;
  /** All roots. */
  readonly rootsFile: string;
  readonly server: Readonly<Record<KeyName, IdentityFiles>>;
  readonly client: Readonly<Record<KeyName, IdentityFiles>>;
  /** Identities nobody has a reason to trust. */
  readonly stranger: { readonly server: IdentityFiles; readonly client: IdentityFiles };
  remove(): void;
}

export interface IdentityFiles {
  /** Subject of the leaf, for peers that tell nothing else. */
  readonly commonName: string;
  readonly spiffeId: string;
  /** PEM, leaf first, without the root. */
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  /** The root above. */
  readonly rootFile: string;
  /** The intermediate CA and the root above. */
  readonly authoritiesFile: string;
}

/** Names of the form `<label>.interop.test` are for every server of the fixture. */
export const interopDomain = 'interop.test';

export function createFixture(): Fixture {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-interop-'));
  const remove = (): void => {
    rmSync(directory, { recursive: true, force: true });
  };
  // Also when something throws: there are keys in it.
  process.once('exit', remove);
  const families = {
    ecdsa: createFamily(directory, 'ecdsa', 'ecdsa-p256'),
    rsa: createFamily(directory, 'rsa', 'rsa'),
    ed25519: createFamily(directory, 'ed25519', 'ed25519'),
  };
  const { ecdsa, rsa, ed25519 } = families;
  const rootsFile = path.join(directory, 'roots.pem');
  writeFileSync(rootsFile, toPem([ecdsa.root.der, rsa.root.der, ed25519.root.der]));
  return {
    directory,
    rootsFile,
    server: { ecdsa: ecdsa.server, rsa: rsa.server, ed25519: ed25519.server },
    client: { ecdsa: ecdsa.client, rsa: rsa.client, ed25519: ed25519.client },
    stranger: createFamily(directory, 'stranger', 'ecdsa-p256'),
    remove,
  };
}

interface Family {
  readonly root: Certificate;
  readonly server: IdentityFiles;
  readonly client: IdentityFiles;
}

interface Signer {
  readonly certificate: Certificate;
  readonly privateKey: KeyObject;
}

function createFamily(directory: string, key: KeyName | 'stranger', kind: KeyKind): Family {
  const root = createAuthority(`interop root ${key}`, kind, undefined);
  const intermediate = createAuthority(`interop intermediate ${key}`, kind, root);
  const rootFile = path.join(directory, `root-${key}.pem`);
  writeFileSync(rootFile, toPem([root.certificate.der]));
  const authoritiesFile = path.join(directory, `authorities-${key}.pem`);
  writeFileSync(authoritiesFile, toPem([intermediate.certificate.der, root.certificate.der]));
  const identity = (role: 'server' | 'client'): IdentityFiles => {
    const commonName = `interop-${role}-${key}`;
    const spiffeId = `spiffe://${interopDomain}/service/${role}-${key}`;
    const keys = generateKeyPair(kind);
    const leaf = issueCertificate({
      subject: encodeName({ commonName }),
      subjectAltNames: {
        uris: [spiffeId],
        ...(role === 'server'
          ? {
              dnsNames: [`*.${interopDomain}`, 'localhost'],
              ipAddresses: [Uint8Array.of(127, 0, 0, 1)],
            }
          : {}),
      },
      publicKey: keys.publicKey,
      issuer: intermediate,
      ...validity(),
      // NSS asks RSA server certificates for keyEncipherment whatever the key exchange.
      keyUsage: kind === 'rsa' ? ['digitalSignature', 'keyEncipherment'] : ['digitalSignature'],
      extendedKeyUsage: [role === 'server' ? 'serverAuth' : 'clientAuth'],
    });
    const certificateFile = path.join(directory, `${commonName}.pem`);
    const privateKeyFile = path.join(directory, `${commonName}.key`);
    writeFileSync(certificateFile, toPem([leaf, intermediate.certificate.der]));
    writeFileSync(privateKeyFile, exportPkcs8Pem(keys.privateKey), { mode: 0o600 });
    return { commonName, spiffeId, certificateFile, privateKeyFile, rootFile, authoritiesFile };
  };
  return { root: root.certificate, server: identity('server'), client: identity('client') };
}

function createAuthority(name: string, kind: KeyKind, issuer: Signer | undefined): Signer {
  const keys = generateKeyPair(kind);
  const der = issueCertificate({
    subject: encodeName({ commonName: name }),
    publicKey: keys.publicKey,
    issuer: issuer ?? { privateKey: keys.privateKey },
    ...validity(),
    isCa: true,
  });
  return { certificate: parseCertificate(der), privateKey: keys.privateKey };
}

function validity(): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + 24 * 3_600_000) };
}
