import type { TokenSource } from './access-token.ts';
import { type GrpcChannel, GrpcStatus, GrpcStatusError } from './grpc-channel.ts';
import { type IdentityList, listIdentities } from './identity-status.ts';
import {
  type Enrolment,
  enrollIdentity,
  forgetIdentity,
  renewIdentity,
} from './identity-upkeep.ts';
import { watchIdentities } from './identity-watch.ts';
import {
  type ConfigurationSignature,
  type ConfigurationToSign,
  signConfiguration,
  type SignerToVerify,
  unwrapKey,
  type UnwrappedKey,
  verifySigner,
  type WrappedKey,
} from './message-calls.ts';
import { sidecarProblem } from './sidecar-handshaker.ts';

/** Gives a call up. */
export interface WorkloadCallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Which identity, by its name in the sidecar's configuration. Absent: the only one that is enrolled. */
export interface IdentityChoice extends WorkloadCallOptions {
  readonly identity?: string | undefined;
}

/** Which identity, by its name in the sidecar's configuration. Absent: our default one. */
export interface MessageIdentity extends WorkloadCallOptions {
  readonly identity?: string | undefined;
}

export interface EnrollOptions extends IdentityChoice {
  /** Content of the bundle file; stays the caller's, who should wipe it: there is a key in it. */
  readonly bundle: Uint8Array;
}

/**
 * What an application may ask its sidecar besides handshakes: how its identities are, and their
 * upkeep where a rule of the sidecar's configuration allows it. All methods reject with
 * `OffloadError`: `ERR_OFFLOAD_DENIED` for what no rule allows, `ERR_OFFLOAD_POLICY` for what cannot be
 * done as things are, `ERR_OFFLOAD_OVERLOADED` for what comes too soon (see `retryAfterMs`),
 * `ERR_OFFLOAD_UNAVAILABLE`; `reason` tells them apart.
 */
export class Workload {
  readonly #channel: GrpcChannel;
  readonly #token: TokenSource;

  /** Use `Offload.workload`. */
  constructor(channel: GrpcChannel, token: TokenSource) {
    this.#channel = channel;
    this.#token = token;
  }

  /** Status of the identities we may use. */
  listIdentities({ signal }: WorkloadCallOptions = {}): Promise<IdentityList> {
    return this.#authorized((metadata) => listIdentities(this.#channel, { metadata, signal }));
  }

  /**
   * The same, now and whenever it has changed, such as when an identity became ready or was renewed; the
   * newest only, for a reader that is slow. Comes back by itself when the sidecar was away. Ends when the
   * reader stops; throws the signal's reason when aborted, and when the sidecar refuses. Keeps no
   * process alive.
   */
  watchIdentities({ signal }: WorkloadCallOptions = {}): AsyncGenerator<IdentityList, void> {
    return watchIdentities(this.#channel, this.#token, signal);
  }

  /**
   * Has an identity enrol with its authority. With a bundle that was used before, answers what came of
   * it; if the authority cannot be reached, rejects after some seconds, and the sidecar goes on trying.
   * Needs the permission `enroll`.
   */
  enroll({ identity, bundle, signal }: EnrollOptions): Promise<Enrolment> {
    return this.#authorized((metadata) =>
      enrollIdentity(this.#channel, { identity: identity ?? '', bundle }, { metadata, signal }),
    );
  }

  /**
   * Has an enrolled identity renew its certificates now; calls at the same time share one renewal.
   * Needs the permission `enroll` or `renew`.
   */
  renew({ identity, signal }: IdentityChoice = {}): Promise<{ readonly notAfter: Date }> {
    return this.#authorized((metadata) =>
      renewIdentity(this.#channel, identity ?? '', { metadata, signal }),
    );
  }

  /**
   * Destroys keys and certificates of an enrolled identity, which waits for a bundle then, and has a new
   * key made for the bootstrap identity that was good until it enrolled. Its authority is not told.
   * Asked again, changes nothing. Needs the permission `enroll`.
   */
  forget({ identity, signal }: WorkloadCallOptions & { readonly identity: string }): Promise<{
    readonly alreadyForgotten: boolean;
  }> {
    return this.#authorized((metadata) =>
      forgetIdentity(this.#channel, identity, { metadata, signal }),
    );
  }

  /**
   * Signs a configuration by an identity of role `manager`. `reason`: `not_a_manager`,
   * `configuration_invalid`.
   */
  signConfiguration({
    identity,
    signal,
    ...configuration
  }: ConfigurationToSign & MessageIdentity): Promise<ConfigurationSignature> {
    return this.#authorized((metadata) =>
      signConfiguration(this.#channel, identity ?? '', configuration, { metadata, signal }),
    );
  }

  /**
   * Judges the chain of a signer by whom an identity trusts now, revocations included; answers who it is.
   * `reason`: `signer_refused`.
   */
  verifySigner({
    identity,
    signal,
    ...signer
  }: SignerToVerify & MessageIdentity): Promise<{ readonly spiffeId: string }> {
    return this.#authorized((metadata) =>
      verifySigner(this.#channel, identity ?? '', signer, { metadata, signal }),
    );
  }

  /**
   * Unwraps the content key of a CMS message with the decryption key of an identity. `reason`:
   * `unwrap_refused` for whatever is wrong with the message, `no_decryption_key`.
   */
  unwrapKey({ identity, signal, ...wrapped }: WrappedKey & MessageIdentity): Promise<UnwrappedKey> {
    return this.#authorized((metadata) =>
      unwrapKey(this.#channel, identity ?? '', wrapped, { metadata, signal }),
    );
  }

  /** With the token; once more with a new one if it was refused and there is one. */
  async #authorized<T>(
    call: (metadata: Readonly<Record<string, string>>) => Promise<T>,
  ): Promise<T> {
    try {
      const token = await this.#token.current();
      try {
        return await call(authorization(token));
      } catch (error) {
        const refused =
          error instanceof GrpcStatusError && error.code === GrpcStatus.unauthenticated;
        if (!refused || !(await this.#token.renew(token))) throw error;
        return await call(authorization(await this.#token.current()));
      }
    } catch (error) {
      throw sidecarProblem(error);
    }
  }
}

function authorization(token: string | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}
