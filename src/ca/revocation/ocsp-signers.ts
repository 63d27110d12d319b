import { toHex } from '../../bytes/bytes.ts';
import { hash } from '../../crypto/hash.ts';
import { generateKeyPair } from '../../crypto/key-generation.ts';
import { sign } from '../../crypto/signatures.ts';
import { type Certificate, encodeName, parseCertificate } from '../../pki/index.ts';
import * as der from '../../pki/der-writer.ts';
import { Tag } from '../../pki/der.ts';
import {
  encodeExtension,
  encodeToBeSigned,
  exportPublicKeyInfo,
  joinSignature,
} from '../../pki/issue-certificate.ts';
import { OCSP_NO_CHECK_OID } from '../../pki/oids.ts';
import { defaultScheme } from '../../pki/signature-algorithm.ts';
import type { AuthorityContext } from '../context.ts';
import { crashPoint } from '../crash-points.ts';
import type { Generation } from '../generations/generation.ts';
import { KeyManagerError } from '../keys/key-manager.ts';

/** Who signs OCSP responses about the certificates of one CA. */
export interface OcspSigner {
  readonly certificate: Certificate;
  /** DER to send along; empty when it is the CA itself. */
  readonly certificates: readonly Uint8Array[];
  /** TLS number. */
  readonly scheme: number;
  sign(content: Uint8Array): Promise<Uint8Array>;
}

/**
 * Gives each CA that signs a responder of its own
 * ({@link https://www.rfc-editor.org/rfc/rfc6960#section-4.2.2.2 | RFC 6960 §4.2.2.2}): a key in memory and a
 * certificate for days, so that the CA's key, which may be in a slow device, is not used by anybody who
 * asks. A CA that has stopped signing certificates signs its responses itself.
 */
export class OcspSigners {
  readonly #context: AuthorityContext;
  readonly #signers = new Map<string, Promise<DelegatedSigner>>();

  constructor(context: AuthorityContext) {
    this.#context = context;
  }

  /** Rejects with `KeyManagerError`, or the store's error. */
  async signerOf(issuer: Generation): Promise<OcspSigner> {
    if (issuer.state !== 'signing') return await this.#itself(issuer);
    const key = toHex(issuer.id);
    const known = this.#signers.get(key);
    if (known !== undefined) {
      const signer = await known.catch(() => undefined);
      if (signer !== undefined && this.#context.now().getTime() < signer.renewAt) return signer;
      // Whoever comes first makes the next one, the others wait for it.
      if (this.#signers.get(key) === known) this.#signers.delete(key);
    }
    let made = this.#signers.get(key);
    if (made === undefined) {
      made = this.#delegate(issuer);
      this.#signers.set(key, made);
    }
    return await made;
  }

  async #itself(issuer: Generation): Promise<OcspSigner> {
    const key = await this.#context.generations.keyOf(issuer);
    return {
      certificate: issuer.certificate,
      certificates: [],
      scheme: defaultScheme(key.type),
      async sign(content) {
        const [signature] = await key.signAll([content]);
        if (signature === undefined) throw new KeyManagerError('a signature is missing');
        return signature;
      },
    };
  }

  async #delegate(issuer: Generation): Promise<DelegatedSigner> {
    const context = this.#context;
    const now = context.now().getTime();
    const notBefore = Math.max(now - backdateMs, issuer.certificate.notBefore.getTime());
    const end = Math.min(now + lifetimeMs, issuer.certificate.notAfter.getTime());
    const keys = generateKeyPair('ecdsa-p256');
    const issuerKey = await context.generations.keyOf(issuer);
    const serial = Buffer.concat([Buffer.from(context.epoch, 'hex'), context.random(12)]);
    const issuerScheme = defaultScheme(issuerKey.type);
    const toBeSigned = encodeToBeSigned(
      {
        subject: encodeName({ commonName: `OCSP responder ${context.replicaId}`.slice(0, 64) }),
        publicKey: keys.publicKey,
        serialNumber: serial,
        notBefore: wholeSecond(notBefore),
        notAfter: wholeSecond(end),
        extendedKeyUsage: ['ocspSigning'],
        // It lasts too short for anybody to ask about it in its turn.
        extensions: [encodeExtension(OCSP_NO_CHECK_OID, false, der.element(Tag.null))],
      },
      issuer.certificate,
      issuerScheme,
    );
    const [signature] = await issuerKey.signAll([toBeSigned]);
    if (signature === undefined) throw new KeyManagerError('a signature is missing');
    const certificate = parseCertificate(joinSignature(toBeSigned, issuerScheme, signature));
    await this.#record(issuer, certificate, serial);
    return {
      certificate,
      certificates: [certificate.der],
      scheme: P256_SHA256,
      renewAt: (now + end) / 2,
      sign: (content) => sign(keys.privateKey, P256_SHA256, content),
    };
  }

  /** Before it is used, as with everything the CA signs. */
  async #record(issuer: Generation, certificate: Certificate, serial: Uint8Array): Promise<void> {
    const { store, replicaId, random } = this.#context;
    await store.transact(async (transaction) => {
      await transaction.queries
        .insertInto('certificate')
        .values({
          serial,
          issuer: issuer.id,
          agent: null,
          agent_generation: null,
          role: null,
          purpose: 'authority',
          state: 'issued',
          key_hash: hash('sha256', exportPublicKeyInfo(certificate.publicKey)),
          not_before: certificate.notBefore.getTime(),
          not_after: certificate.notAfter.getTime(),
          der: certificate.der,
          token: null,
          policy: null,
          policy_version: null,
          replaces: null,
          issued_at: transaction.now,
          confirmed_at: null,
          request: random(16),
        })
        .execute();
      transaction.audit({
        actor: replicaId,
        action: 'ocsp_responder.issue',
        subject: toHex(serial),
        outcome: 'done',
        details: { issuer: toHex(issuer.id) },
      });
      crashPoint('ocsp.before_commit');
    });
  }
}

interface DelegatedSigner extends OcspSigner {
  readonly renewAt: number;
}

function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}

const P256_SHA256 = 0x0403;
const lifetimeMs = 3 * 86_400_000;
const backdateMs = 300_000;
