import { generateKeyPair } from '../../crypto/key-generation.ts';
import { createCertificateRequest, encodePem, exportPkcs8Pem } from '../../pki/index.ts';
import { print } from '../terminal.ts';
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
 */
export async function newIdentity(options: NewIdentityOptions): Promise<void> {
  const type = keyTypes[options.keyType];
  const pair = generateKeyPair(type.kind, 'modulusBits' in type ? type.modulusBits : undefined);
  const request = createCertificateRequest({
    commonName: options.name,
    uris: options.spiffeId === undefined ? [] : [options.spiffeId],
    dnsNames: options.dnsNames,
    privateKey: pair.privateKey,
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
  print(`private key          ${paths.key}`);
  print(`certificate request  ${paths.request}`);
}
