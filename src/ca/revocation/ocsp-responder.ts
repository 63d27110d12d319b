import { toHex } from '../../bytes/bytes.ts';
import { BoundedMap } from '../../pki/bounded-map.ts';
import { CertificateError } from '../../pki/certificate-error.ts';
import {
  encodeOcspError,
  encodeOcspToBeSigned,
  issuerHashes,
  joinOcspSignature,
  type OcspAnswer,
  type OcspCertificateId,
  type OcspError,
  type OcspRequest,
  parseOcspRequest,
} from '../../pki/index.ts';
import type { AuthorityContext } from '../context.ts';
import type { Generation } from '../generations/generation.ts';
import type { TrustFeed } from '../trust/trust-feed.ts';
import { certificateStatus } from './certificate-status.ts';
import { OcspSigners } from './ocsp-signers.ts';

export interface OcspResponderOptions {
  readonly context: AuthorityContext;
  readonly feed: TrustFeed;
  /** From this to next update of a response. */
  readonly lifetimeMs?: number;
  /** Requests worked on at a time; more are told to try later. */
  readonly maxConcurrent?: number;
}

/** A response, and how long others may keep it. */
export interface OcspReply {
  readonly der: Uint8Array;
  /** Absent: it is for whoever asked, or an error, and not to be kept. */
  readonly validity: { readonly thisUpdate: Date; readonly nextUpdate: Date } | undefined;
}

/**
 * Answers OCSP requests about certificates of this authority
 * ({@link https://www.rfc-editor.org/rfc/rfc6960 | RFC 6960},
 * {@link https://www.rfc-editor.org/rfc/rfc5019 | RFC 5019}) with the state as of the last feed entry read.
 */
export class OcspResponder {
  readonly #context: AuthorityContext;
  readonly #feed: TrustFeed;
  readonly #signers: OcspSigners;
  readonly #lifetimeMs: number;
  readonly #maxConcurrent: number;
  readonly #replies = new BoundedMap<string, KeptReply>(keptReplies);
  #working = 0;
  #issuers: ReadonlyMap<string, Generation> = new Map();
  readonly #stop: () => void;

  constructor(options: OcspResponderOptions) {
    this.#context = options.context;
    this.#feed = options.feed;
    this.#lifetimeMs = options.lifetimeMs ?? 3_600_000;
    this.#maxConcurrent = options.maxConcurrent ?? 64;
    this.#signers = new OcspSigners(options.context);
    this.#readIssuers();
    this.#stop = options.context.generations.onChange(() => {
      this.#readIssuers();
    });
  }

  /** Never rejects: what cannot be answered is an error of the protocol. */
  async respond(request: Uint8Array): Promise<OcspReply> {
    const key = Buffer.from(request).toString('latin1');
    const kept = this.#replies.get(key);
    if (kept !== undefined && this.#isFresh(kept)) return kept.reply;
    const head = this.#feed.head;
    const reply = await this.#respondAnew(request);
    const { validity } = reply;
    if (validity !== undefined && request.length <= maxKeptRequestBytes) {
      this.#replies.set(key, { reply, head, at: validity.thisUpdate.getTime() });
    }
    return reply;
  }

  /** Nothing was revoked since, and little has been issued. */
  #isFresh({ head, at }: KeptReply): boolean {
    const age = this.#context.now().getTime() - at;
    return head === this.#feed.head && age >= 0 && age < keepReplyMs;
  }

  async #respondAnew(request: Uint8Array): Promise<OcspReply> {
    if (this.#working >= this.#maxConcurrent) return failed('tryLater');
    this.#working += 1;
    try {
      return await this.#answer(parseOcspRequest(request));
    } catch (error) {
      if (error instanceof CertificateError) return failed('malformedRequest');
      this.#context.log.error({ err: error }, 'an OCSP request could not be answered');
      return failed('tryLater');
    } finally {
      this.#working -= 1;
    }
  }

  close(): void {
    this.#stop();
  }

  async #answer({ certificates, nonce }: OcspRequest): Promise<OcspReply> {
    const issuers = certificates.map(({ id }) => id && this.#issuers.get(issuerKey(id)));
    const [issuer] = issuers;
    // One signer cannot speak for several CAs; and of those of others we know nothing (RFC 5019 §2.2.3).
    if (issuer === undefined || issuers.some((other) => other !== issuer)) {
      return failed('unauthorized');
    }
    const { store, now, generations } = this.#context;
    const thisUpdate = now();
    const nextUpdate = new Date(thisUpdate.getTime() + this.#lifetimeMs);
    const sources = {
      queries: store.queries,
      revocations: this.#feed.revocations,
      generations: generations.all(),
    };
    const answers: OcspAnswer[] = [];
    for (const { encoded, id } of certificates) {
      if (id === undefined) continue;
      const status = await certificateStatus(sources, issuer, id.serialNumber);
      answers.push({ encodedId: encoded, status, thisUpdate, nextUpdate });
    }
    const signer = await this.#signers.signerOf(issuer);
    const toBeSigned = encodeOcspToBeSigned({
      responder: signer.certificate,
      producedAt: thisUpdate,
      answers,
      ...(nonce === undefined ? {} : { nonce }),
    });
    const signature = await signer.sign(toBeSigned);
    return {
      der: joinOcspSignature(toBeSigned, signer.scheme, signature, signer.certificates),
      validity: nonce === undefined ? { thisUpdate, nextUpdate } : undefined,
    };
  }

  /** By the names OCSP has for them: every CA whose key may still be there to sign. */
  #readIssuers(): void {
    const issuers = new Map<string, Generation>();
    for (const generation of this.#context.generations.all()) {
      if (generation.kind === 'enrolment' || generation.state === 'destroyed') continue;
      for (const hash of ['sha1', 'sha256'] as const) {
        const { name, key } = issuerHashes(generation.certificate, hash);
        issuers.set(issuerKey({ hash, issuerNameHash: name, issuerKeyHash: key }), generation);
      }
    }
    this.#issuers = issuers;
  }
}

function issuerKey(id: Omit<OcspCertificateId, 'serialNumber'>): string {
  return `${id.hash} ${toHex(id.issuerNameHash)} ${toHex(id.issuerKeyHash)}`;
}

interface KeptReply {
  readonly reply: OcspReply;
  /** Last feed entry known when it was made. */
  readonly head: number;
  readonly at: number;
}

function failed(error: OcspError): OcspReply {
  return { der: encodeOcspError(error), validity: undefined };
}

/** Some 1 KB each, with the request that leads to it. */
const keptReplies = 4096;
/** What asks about one certificate has about 80. */
const maxKeptRequestBytes = 256;
const keepReplyMs = 60_000;
