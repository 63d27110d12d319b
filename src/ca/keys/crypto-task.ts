import type { KeyObject } from 'node:crypto';
import { hash } from '../../crypto/hash.ts';
import { keyKindOf } from '../../crypto/keys.ts';
import { isAcceptableKey, signSync, verifySignature } from '../../crypto/signatures.ts';
import { CertificateError, keyIdentifier, parseCertificateRequest } from '../../pki/index.ts';
import { importPublicKeyInfo, parsePublicKeyInfo } from '../../pki/public-key-info.ts';
import type { CryptoAnswer, CryptoTask, RequestedKey, Inspection } from './crypto-protocol.ts';

/** Does one task, in whichever thread. Never throws: what fails is an answer. */
export function runTask(task: CryptoTask, keys: ReadonlyMap<number, KeyObject>): CryptoAnswer {
  try {
    return answerTo(task, keys);
  } catch {
    // Nothing known throws here; what does must not take the other tasks of a thread with it.
    return { kind: 'failed', problem: 'the task cannot be done' };
  }
}

function answerTo(task: CryptoTask, keys: ReadonlyMap<number, KeyObject>): CryptoAnswer {
  switch (task.kind) {
    case 'sign': {
      const key = keys.get(task.key);
      if (key === undefined) return { kind: 'failed', problem: 'no such key' };
      try {
        const signatures = task.contents.map((content) => signSync(key, task.scheme, content));
        return { kind: 'signed', signatures };
      } catch {
        // OpenSSL's words may name what is in the key.
        return { kind: 'failed', problem: 'the key does not sign' };
      }
    }
    case 'inspect':
      return { kind: 'inspected', inspection: inspect(task, keys) };
    case 'verify':
      return { kind: 'verified', ok: verifyBy(task.publicKeyInfo, task.content, task.signature) };
  }
}

function inspect(
  task: Extract<CryptoTask, { kind: 'inspect' }>,
  keys: ReadonlyMap<number, KeyObject>,
): Inspection {
  const { token, tlsRequest, decryptionRequest, proof } = task;
  const tokenKey = keys.get(token.key);
  if (
    tokenKey === undefined ||
    !verifySignature(tokenKey, ED25519, token.content, token.signature)
  ) {
    return { ok: false, problem: 'token_forged' };
  }
  try {
    const tls = requestedKey(tlsRequest);
    const decryption =
      decryptionRequest === undefined ? undefined : requestedKey(decryptionRequest);
    if (proof !== undefined && !verifyBy(proof.publicKeyInfo, proof.content, proof.signature)) {
      return { ok: false, problem: 'proof_wrong' };
    }
    return { ok: true, tls, decryption };
  } catch (error) {
    if (error instanceof CertificateError) return { ok: false, problem: error.reason };
    throw error;
  }
}

/** The key of a request, which is all that is taken from it. Throws `CertificateError`. */
function requestedKey(der: Uint8Array): RequestedKey {
  const { publicKey, publicKeyInfo } = parseCertificateRequest(der);
  const kind = keyKindOf(publicKey);
  if (kind === undefined) {
    throw new CertificateError('bad_certificate', 'unsupported_public_key', 'an unknown key');
  }
  return {
    publicKeyInfo: Uint8Array.from(publicKeyInfo),
    keyHash: Uint8Array.from(hash('sha256', publicKeyInfo)),
    keyIdentifier: Uint8Array.from(keyIdentifier(publicKeyInfo)),
    kind,
    bits: publicKey.asymmetricKeyDetails?.modulusLength ?? 0,
  };
}

/** Whether a signature is by the natural scheme of a key: what `Renew` and `Confirm` ask for. */
function verifyBy(publicKeyInfo: Uint8Array, content: Uint8Array, signature: Uint8Array): boolean {
  const key = importPublicKeyInfo(parsePublicKeyInfo(publicKeyInfo));
  const kind = keyKindOf(key);
  if (kind === undefined || !isAcceptableKey(key)) return false;
  return verifySignature(key, proofSchemes[kind], content, signature);
}

const ED25519 = 0x0807;

/** RSA is PSS with SHA-256, ECDSA has the SHA-2 of its curve. */
const proofSchemes = {
  'ecdsa-p256': 0x0403,
  'ecdsa-p384': 0x0503,
  ed25519: ED25519,
  rsa: 0x0804,
  'rsa-pss': 0x0809,
} as const;
