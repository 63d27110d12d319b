import { parseCertificate } from '../pki/index.ts';
import { ServiceError } from '../rpc/errors.ts';
import type { BootstrapIdentityConfig } from './config.ts';
import type { BootstrapSource, CredentialSource } from './credential-source.ts';
import { joinKeyAndChain, type LocalIdentity } from './local-identity.ts';
import type { PeerTrust } from './peer-trust.ts';

/**
 * One identity with a certificate of its own making. It is refused from the moment the identity it
 * stands in for has enrolled, whatever became of that one since.
 */
export class BootstrapEntry {
  readonly config: BootstrapIdentityConfig;
  readonly source: BootstrapSource;
  readonly trust: PeerTrust;
  /** Of the identity whose enrolment ends this one. */
  readonly #successor: CredentialSource | undefined;
  #identity: LocalIdentity | undefined;

  constructor(
    config: BootstrapIdentityConfig,
    source: BootstrapSource,
    trust: PeerTrust,
    successor: CredentialSource | undefined,
  ) {
    this.config = config;
    this.source = source;
    this.trust = trust;
    this.#successor = successor;
  }

  get name(): string {
    return this.config.name;
  }

  /** Absent when shut, and as long as there is no key. */
  get identity(): LocalIdentity | undefined {
    const { current } = this.source;
    if (current === undefined || this.isShut) {
      this.#identity = undefined;
    } else if (current.version !== this.#identity?.version) {
      const { name } = this.config;
      const chain = current.chain.map((der) => parseCertificate(der));
      this.#identity = {
        name,
        isDefault: false,
        bootstrap: { peers: this.config.peers },
        trust: this.trust,
        version: current.version,
        warnings: [],
        ...joinKeyAndChain(name, chain, current.privateKey),
      };
    }
    return this.#identity;
  }

  /** Also in the moment between an enrolment and the source's hearing of it. */
  get isShut(): boolean {
    return this.source.isShut || this.#successor?.current !== undefined;
  }

  get problem(): string | undefined {
    return this.source.problem;
  }

  /** Why no handshake can be made with it. Throws nothing: the error is for whoever wants one. */
  get refusal(): ServiceError | undefined {
    const { name, until } = this.config;
    if (this.isShut) {
      return refusal(
        'bootstrap_shut',
        `"${name}" is not used any more since "${until}" has enrolled; forget that first`,
      );
    }
    if (this.source.current !== undefined) return undefined;
    return refusal('bootstrap_not_ready', `"${name}": ${this.problem ?? 'has no key yet'}`);
  }
}

function refusal(reason: string, message: string): ServiceError {
  return new ServiceError('FAILED_PRECONDITION', reason, message);
}
