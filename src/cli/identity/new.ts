import { generateKeyPair } from '../../crypto/key-generation.ts';
import {
  createCertificateRequest,
  encodeName,
  encodePem,
  exportPkcs8Pem,
} from '../../pki/index.ts';
import { identityPaths, writeNewFiles } from './files.ts';
import { keyTypes, type KeyType } from './key-types.ts';

export interface NewIdentityOptions {
  readonly name: string;
  readonly directory: string;
  readonly keyType: KeyType;
  readonly spiffeId: string | undefined;
  readonly dnsNames: readonly string[];
}

/**
 * Makes a private key (`NAME.key`, readable by its owner only) and a certificate request for it
 * (`NAME.csr`). The key exists as bytes for as long as it takes to write them, and as no string.
 *
 * @returns lines telling what was written
 */
export async function newIdentity(options: NewIdentityOptions): Promise<readonly string[]> {
  const type = keyTypes[options.keyType];
  const pair = generateKeyPair(type.kind, 'modulusBits' in type ? type.modulusBits : undefined);
  const uris = options.spiffeId === undefined ? [] : [options.spiffeId];
  const { dnsNames } = options;
  const request = createCertificateRequest({
    ...pair,
    subject: encodeName({ commonName: options.name }),
    ...(uris.length + dnsNames.length === 0 ? {} : { subjectAltNames: { uris, dnsNames } }),
  });
  const paths = await identityPaths(options.directory, options.name);
  const key = exportPkcs8Pem(pair.privateKey);
  try {
    await writeNewFiles([
      { path: paths.key, content: key, mode: 0o600 },
      { path: paths.request, content: encodePem('CERTIFICATE REQUEST', request), mode: 0o644 },
    ]);
  } finally {
    key.fill(0);
  }
  return [`private key          ${paths.key}`, `certificate request  ${paths.request}`];
}
