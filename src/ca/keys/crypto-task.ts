import type { KeyObject } from 'node:crypto';
import { equalConstantTime } from '../../bytes/bytes.ts';
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
    case 'inspect': {
      const tokenKey = keys.get(task.token.key);
      // Forgotten since the task was given: that is no fault of the token.
      if (tokenKey === undefined) return { kind: 'failed', problem: 'no such key' };
      return { kind: 'inspected', inspection: inspect(task, tokenKey) };
    }
    case 'verify':
      return { kind: 'verified', ok: verifyBy(task.publicKeyInfo, task.content, task.signature) };
  }
}

function inspect(task: Extract<CryptoTask, { kind: 'inspect' }>, tokenKey: KeyObject): Inspection {
  const { token, tlsRequest, decryptionRequest, proof } = task;
  if (!isSignedBy(tokenKey, token)) return { ok: false, problem: 'token_forged' };
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

/**
 * Whether a token is one of ours. With the private key at hand it is signed again: an Ed25519 signature
 * has one value only (RFC 8032 §5.1.6), and to make it costs less than half of what it costs to verify.
 * Compared in constant time: what is right about a wrong one must not show.
 */
function isSignedBy(
  key: KeyObject,
  { content, signature }: { readonly content: Uint8Array; readonly signature: Uint8Array },
): boolean {
  if (key.type !== 'private') return verifySignature(key, ED25519, content, signature);
  return equalConstantTime(signSync(key, ED25519, content), signature);
}

/** The key of a request, which is all that is taken from it. Throws `CertificateError`. */
function requestedKey(der: Uint8Array): RequestedKey {
  const request = parseCertificateRequest(der);
  const { publicKey, publicKeyInfo } = request;
  const kind = keyKindOf(publicKey);
  if (kind === undefined) {
    throw new CertificateError('bad_certificate', 'unsupported_public_key', 'an unknown key');
  }
  const isRsa = kind === 'rsa' || kind === 'rsa-pss';
  return {
    publicKeyInfo: Uint8Array.from(publicKeyInfo),
    keyHash: Uint8Array.from(hash('sha256', publicKeyInfo)),
    keyIdentifier: Uint8Array.from(keyIdentifier(publicKeyInfo)),
    kind,
    bits: isRsa ? (publicKey.asymmetricKeyDetails?.modulusLength ?? 0) : 0,
  };
}

/** Whether a signature is by the natural scheme of a key: what `Renew` and `Confirm` ask for. */
function verifyBy(publicKeyInfo: Uint8Array, content: Uint8Array, signature: Uint8Array): boolean {
  const info = parsePublicKeyInfo(publicKeyInfo);
  const key = importPublicKeyInfo(info);
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
