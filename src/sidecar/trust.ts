import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import {
  CertificateError,
  ChainVerdictCache,
  checkStaple,
  createTrustAnchors,
  parseCertificate,
  parseCertificatePem,
  type TrustAnchors,
  type VerifiedChain,
} from '../pki/index.ts';
import { ConfigurationError } from './configuration-error.ts';
import type { ChainPurpose, PeerTrust } from './peer-trust.ts';

/** What came of looking at the bundle file again. */
export type TrustReload =
  | { readonly outcome: 'unchanged' }
  | { readonly outcome: 'reloaded'; readonly generation: number; readonly certificates: number }
  | { readonly outcome: 'failed'; readonly problem: string };

/**
 * The certificates peers' chains may end in, from a file. A bundle is replaced as a whole or not at
 * all; each replacement counts up the generation, and whatever was concluded under another
 * generation is void.
 */
export class TrustStore implements PeerTrust {
  readonly path: string;
  readonly #verdicts: ChainVerdictCache;
  readonly #now: () => Date;
  #bundle: Bundle;
  #generation = 1;
  #problem: string | undefined;

  /** Throws {@link ConfigurationError}. */
  constructor(path: string, now: () => Date) {
    this.path = path;
    this.#verdicts = new ChainVerdictCache({ now });
    this.#now = now;
    try {
      this.#bundle = readBundle(path);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw new ConfigurationError([`trust bundle: ${problemText(path, error)}`]);
    }
  }

  get generation(): number {
    return this.#generation;
  }

  get anchors(): TrustAnchors {
    return this.#bundle.anchors;
  }

  /** What went wrong when the file was last looked at. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Looks at the file again. */
  reload(): TrustReload {
    try {
      const bundle = readBundle(this.path);
      this.#problem = undefined;
      if (bundle.version === this.#bundle.version) return { outcome: 'unchanged' };
      this.#bundle = bundle;
      this.#generation += 1;
      return {
        outcome: 'reloaded',
        generation: this.#generation,
        certificates: bundle.anchors.certificates.length,
      };
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#problem = problemText(this.path, error);
      return { outcome: 'failed', problem: this.#problem };
    }
  }

  verify(certificates: readonly Uint8Array[], purpose: ChainPurpose): VerifiedChain {
    return this.#verdicts.verify({ certificates, anchors: this.#bundle.anchors, ...purpose });
  }

  /**
   * Looks at what a server stapled to a chain just verified. Not remembered: a verdict on a chain is
   * none on a staple, of which the next one may say something else. Throws `CertificateError`.
   */
  checkStaple({ leaf, path }: VerifiedChain, response: Uint8Array | undefined): void {
    // An anchor stands above every leaf, be it the leaf itself.
    const issuer = path[1] ?? leaf;
    checkStaple({ response, leaf, issuer, now: this.#now() });
  }

  /** A file of roots says nothing about single certificates. */
  isRevoked(): boolean {
    return false;
  }
}

interface Bundle {
  readonly anchors: TrustAnchors;
  readonly version: string;
}

function readBundle(path: string): Bundle {
  if (statSync(path).size > maxBundleBytes) {
    throw new CertificateError('bad_certificate', 'bundle_too_large', 'is longer than 4 MiB');
  }
  const file = readFileSync(path);
  const certificates = parseCertificatePem(file).map((der) => parseCertificate(der));
  if (certificates.length === 0) {
    throw new CertificateError('bad_certificate', 'bundle_empty', 'holds no certificate');
  }
  return {
    anchors: createTrustAnchors(certificates),
    version: createHash('sha256').update(file).digest('hex'),
  };
}

function problemText(path: string, error: Error): string {
  return error.message.includes(path) ? error.message : `${path}: ${error.message}`;
}

const maxBundleBytes = 4_194_304;
