import { CertificateError, parseCertificate } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { EnrolledIdentityConfig, StaleTrust } from './config.ts';
import type { CredentialSource } from './credential-source.ts';
import { EnrolledTrust } from './enrolled-trust.ts';
import { IdentityError, joinKeyAndChain, type LocalIdentity } from './local-identity.ts';

/** What changed when an entry looked at its source again. */
export interface EnrolledChange {
  readonly credential: boolean;
  readonly trust: boolean;
}

/** One identity that is enrolled, or waits for it. */
export class EnrolledEntry {
  readonly config: EnrolledIdentityConfig;
  readonly source: CredentialSource;
  readonly trust: EnrolledTrust;
  readonly #stale: StaleTrust;
  readonly #now: () => Date;
  #identity: LocalIdentity | undefined;
  #problem: string | undefined;

  constructor(
    config: EnrolledIdentityConfig,
    source: CredentialSource,
    stale: StaleTrust,
    now: () => Date,
  ) {
    this.config = config;
    this.source = source;
    this.trust = new EnrolledTrust(source, now);
    this.#stale = stale;
    this.#now = now;
    this.refresh();
  }

  get name(): string {
    return this.config.name;
  }

  /** Absent as long as there is no certificate. */
  get identity(): LocalIdentity | undefined {
    const { status, current } = this.source;
    // Forgotten: whatever was taken up is of no more use, and gone by the next look.
    if (status.state === 'revoked' || current === undefined) return undefined;
    return this.#identity;
  }

  /** Why it cannot be used, or not for long. */
  get problem(): string | undefined {
    return this.#problem ?? this.source.problem ?? this.#staleness('warn');
  }

  /** Why no handshake can be made with it. Throws nothing: the error is for whoever wants one. */
  get refusal(): ServiceError | undefined {
    const { name } = this.config;
    if (this.source.status.state === 'revoked') {
      return refusal('identity_revoked', `"${name}" was revoked by its authority`);
    }
    if (this.identity === undefined) {
      return refusal('identity_not_enrolled', `"${name}" has not enrolled yet`);
    }
    const stale = this.#staleness('refuse');
    return stale === undefined ? undefined : refusal('trust_stale', `"${name}": ${stale}`);
  }

  /** Takes up what the source has now. What cannot be used leaves the old in place. */
  refresh(): EnrolledChange {
    try {
      this.#problem = undefined;
      return { trust: this.trust.refresh(), credential: this.#takeCredential() };
    } catch (error) {
      if (!(error instanceof CertificateError || error instanceof IdentityError)) throw error;
      this.#problem = error.message;
      return { trust: false, credential: false };
    }
  }

  #takeCredential(): boolean {
    const { current, status } = this.source;
    if (current === undefined && status.state !== 'revoked') this.#identity = undefined;
    if (current === undefined || current.version === this.#identity?.version) return false;
    const { name, isDefault } = this.config;
    const chain = current.chain.map((der) => parseCertificate(der));
    this.#identity = {
      name,
      isDefault,
      trust: this.trust,
      version: current.version,
      warnings: [],
      ...joinKeyAndChain(name, chain, current.privateKey),
    };
    return true;
  }

  /** Said for every action up to the configured one. */
  #staleness(action: StaleTrust['action']): string | undefined {
    const { trustReceivedAt } = this.source.status;
    if (trustReceivedAt === undefined) return undefined;
    if (action === 'refuse' && this.#stale.action === 'warn') return undefined;
    const ageMs = this.#now().getTime() - trustReceivedAt.getTime();
    if (ageMs <= this.#stale.afterMs) return undefined;
    return `the authority was not heard of since ${trustReceivedAt.toISOString()}`;
  }
}

function refusal(reason: string, message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', reason, message);
}
