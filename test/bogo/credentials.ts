import { readFileSync } from 'node:fs';
import type { KeyObject } from 'node:crypto';
import { keyKindOf } from '../../src/crypto/keys.ts';
import { rsaModulusBytes } from '../../src/crypto/signatures.ts';
import { loadPrivateKey, parseCertificate, parseCertificatePem } from '../../src/pki/index.ts';
import type { Credential } from '../../src/tls/config.ts';
import { SignatureScheme } from '../../src/tls/registries.ts';
import { type CredentialFlags, type ShimFlags, Unimplemented } from './flags.ts';

/** A credential as the engine knows it, and the key that answers for it. */
export interface ShimCredential {
  readonly credential: Credential;
  readonly privateKey: KeyObject;
  readonly index: number;
}

/** Index by which the runner names the credential that is given without `-new-x509-credential`. */
export const LEGACY_CREDENTIAL = -1;

/**
 * The credentials of the command line in the order in which they are to be preferred: those given as
 * such first, the legacy one last.
 */
export function readCredentials(flags: ShimFlags): readonly ShimCredential[] {
  const [legacy, ...listed] = flags.credentials;
  const all = [
    ...listed.map((credential, index) => ({ credential, index })),
    ...(legacy === undefined ? [] : [{ credential: legacy, index: LEGACY_CREDENTIAL }]),
  ];
  return all
    .filter(({ credential }) => credential.certFile !== undefined)
    .map(({ credential, index }) => readCredential(credential, index));
}

function readCredential(flags: CredentialFlags, index: number): ShimCredential {
  const chain = parseCertificatePem(readFileSync(flags.certFile!)).map((der) =>
    parseCertificate(der),
  );
  const privateKey = loadPrivateKey(readFileSync(flags.keyFile!));
  const keyKind = keyKindOf(privateKey);
  if (keyKind === undefined) throw new Unimplemented('a kind of key we do not use');
  const preferred = flags.signingPrefs.flatMap(knownScheme);
  return {
    privateKey,
    index,
    credential: {
      name: String(index),
      certificates: chain.map(({ der }) => der),
      keyKind,
      rsaModulusBytes: rsaModulusBytes(privateKey),
      matchesServerName: () => true,
      issuerNames: chain.map(({ issuer }) => issuer),
      chainSchemes: chain.flatMap(({ signatureScheme }) => signatureScheme ?? []),
      ...(flags.signingPrefs.length === 0 ? {} : { signatureSchemes: preferred }),
    },
  };
}

/** A code of ours as such; codes we do not have are left out, as they cannot be chosen. */
export function knownScheme(code: number): SignatureScheme[] {
  return Object.values(SignatureScheme).filter((scheme) => scheme === code);
}
