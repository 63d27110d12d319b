import { setMaxListeners } from 'node:events';
import type { Duplex } from 'node:stream';
import {
  CertificateAuthorityServiceService,
  type ConfirmRequest,
  type EnrollRequest,
  type EnrollResponse,
  type RenewRequest,
  type RenewResponse,
} from '../gen/sidekey/v1/certificate_authority.ts';
import { type GrpcCall, type GrpcCallEvents, GrpcChannel } from '../rpc/client/grpc-channel.ts';
import { unary, type UnaryMethod } from '../rpc/client/unary.ts';
import type { AuthorityCredential, AuthorityExpectation, DialAuthority } from './dial.ts';

/** Where to find an authority, and who meets there. */
export interface LinkTarget {
  readonly addresses: readonly string[];
  readonly credential: AuthorityCredential;
  readonly expectation: AuthorityExpectation;
}

export interface AuthorityLinkOptions {
  readonly dial: DialAuthority;
  /** Asked for each new connection, so that it is made with the newest certificate and roots. */
  readonly target: () => LinkTarget;
  /** 0 to 1. */
  readonly random: () => number;
}

/**
 * The connection of a host to its authority: made at the first call, and again when it was lost, to
 * any of the addresses. Calls reject with what went wrong at the dial, or `GrpcStatusError`.
 */
export class AuthorityLink {
  readonly #options: AuthorityLinkOptions;
  #channel: { readonly grpc: GrpcChannel; readonly abort: AbortController } | undefined;
  #closed = false;

  constructor(options: AuthorityLinkOptions) {
    this.#options = options;
  }

  enroll(request: EnrollRequest): Promise<EnrollResponse> {
    return this.#unary(CertificateAuthorityServiceService.enroll, request);
  }

  renew(request: RenewRequest): Promise<RenewResponse> {
    return this.#unary(CertificateAuthorityServiceService.renew, request);
  }

  async confirm(request: ConfirmRequest): Promise<void> {
    await this.#unary(CertificateAuthorityServiceService.confirm, request);
  }

  followTrust(events: GrpcCallEvents): Promise<GrpcCall> {
    const { path } = CertificateAuthorityServiceService.followTrust;
    return this.#open().grpc.call(path, {}, events);
  }

  /** Ends the connection, so that the next call makes one with what is current then. */
  async reset(): Promise<void> {
    const channel = this.#channel;
    this.#channel = undefined;
    channel?.abort.abort(linkClosed());
    await channel?.grpc.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.reset();
  }

  #unary<Request, Response>(
    method: UnaryMethod<Request, Response>,
    request: Request,
  ): Promise<Response> {
    if (this.#closed) return Promise.reject(linkClosed());
    const { grpc, abort } = this.#open();
    return unary(grpc, method, request, { timeoutMs: callTimeoutMs, signal: abort.signal });
  }

  #open(): { readonly grpc: GrpcChannel; readonly abort: AbortController } {
    if (this.#channel !== undefined) return this.#channel;
    const abort = new AbortController();
    // One for each call under way, however many those are.
    setMaxListeners(0, abort.signal);
    const grpc = new GrpcChannel({
      connect: () => this.#connect(abort.signal),
      closedError: linkClosed,
      peer: 'authority',
      maxMessageBytes,
      signOfLifeMs,
    });
    this.#channel = { grpc, abort };
    return this.#channel;
  }

  #connect(wanted: AbortSignal): Promise<Duplex> {
    if (this.#closed) return Promise.reject(linkClosed());
    const { addresses, credential, expectation } = this.#options.target();
    const signal = AbortSignal.any([wanted, AbortSignal.timeout(dialTimeoutMs)]);
    return this.#options.dial(this.#shuffled(addresses), credential, expectation, signal);
  }

  /** A fleet spreads over the replicas, and one that hangs is not the first choice every time. */
  #shuffled(addresses: readonly string[]): readonly string[] {
    return addresses
      .map((address) => ({ address, order: this.#options.random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ address }) => address);
  }
}

function linkClosed(): Error {
  return new Error('the connection to the authority was given up');
}

/** An authority in trouble answers late, and the answer is worth waiting for. */
const callTimeoutMs = 30_000;
const dialTimeoutMs = 20_000;
/** Ten thousand hosts asking every half second would be a load of its own. */
const signOfLifeMs = 20_000;
/** A part of a snapshot of revocations, and trust bundles, with room to spare. */
const maxMessageBytes = 4 * 1024 * 1024;
