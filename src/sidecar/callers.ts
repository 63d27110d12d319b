import type { PeerCredentials } from '../rpc/peer-credentials.ts';
import { ServiceError } from '../rpc/errors.ts';
import { TokenFile } from '../rpc/token-file.ts';
import type { ListenerConfig } from './config.ts';

/** Somebody who may call, and what he may act as. */
export interface Caller {
  /** Stable name of who this is: shares of slots and cached sessions are kept under it. */
  readonly id: string;
  /** Names of the identities he may use; `all` for whoever runs the sidecar. */
  readonly identities: 'all' | ReadonlySet<string>;
  readonly permissions: Permissions;
}

/** What a caller may do with his identities besides handshakes. */
export interface Permissions {
  /** Have them enrol, renew, and be forgotten. */
  readonly enroll: boolean;
  /** Have them renew. */
  readonly renew: boolean;
  /** Talk to peers by the hash of their public key, whatever the identity trusts. */
  readonly pinnedPeers: boolean;
}

/** Decides who the callers of one listener are. */
export class CallerPolicy {
  readonly #rules: readonly Rule[];
  readonly #ownUid: number | undefined;

  /** `ownUid` is the user this process runs as. */
  constructor(config: ListenerConfig, ownUid: number | undefined) {
    this.#rules = config.allow.map((rule) => ({
      uid: rule.uid,
      gid: rule.gid,
      token: rule.tokenFile === undefined ? undefined : new TokenFile(rule.tokenFile),
      identities: new Set(rule.identities),
      permissions: {
        enroll: rule.enroll ?? false,
        renew: rule.renew ?? false,
        pinnedPeers: rule.pinnedPeers ?? false,
      },
    }));
    this.#ownUid = ownUid;
  }

  /**
   * Whether no caller can be let in unless the kernel names him: then a connection without
   * credentials is closed at once.
   */
  get requiresCredentials(): boolean {
    return this.#rules.every(({ uid, gid }) => uid !== undefined || gid !== undefined);
  }

  /** What is wrong with the token files, one line each. */
  get problems(): readonly string[] {
    return this.#rules.flatMap(({ token }) => token?.problem ?? []);
  }

  /**
   * The caller with these credentials and tokens, by the first rule of which every condition
   * holds. Without rules it is whoever runs the sidecar. Throws `ServiceError`.
   */
  identify(credentials: PeerCredentials | undefined, tokens: readonly string[]): Caller {
    if (this.#rules.length === 0) {
      if (credentials !== undefined && credentials.uid === this.#ownUid) {
        const id = `uid:${String(credentials.uid)}`;
        return { id, identities: 'all', permissions: withoutRules };
      }
    }
    for (const [index, rule] of this.#rules.entries()) {
      if (!holds(rule, credentials, tokens)) continue;
      const { identities, permissions } = rule;
      return { id: callerId(index, rule, credentials), identities, permissions };
    }
    throw this.#refusal(tokens);
  }

  #refusal(tokens: readonly string[]): ServiceError {
    const byToken = this.#rules.some(({ token }) => token !== undefined);
    if (!byToken) {
      return new ServiceError(
        'PERMISSION_DENIED',
        'caller_not_allowed',
        'caller is not allowed here',
      );
    }
    return tokens.length === 0
      ? new ServiceError(
          'UNAUTHENTICATED',
          'token_missing',
          'caller is not known and sent no token',
        )
      : new ServiceError('UNAUTHENTICATED', 'token_unknown', 'token is not valid here');
  }
}

/** The tokens of a request, as many as anybody has a use for. */
export function presentedTokens(tokens: readonly string[]): readonly string[] {
  return tokens.filter((token) => token.length > 0).slice(0, maxTokens);
}

interface Rule {
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly token: TokenFile | undefined;
  readonly identities: ReadonlySet<string>;
  readonly permissions: Permissions;
}

function holds(
  rule: Rule,
  credentials: PeerCredentials | undefined,
  tokens: readonly string[],
): boolean {
  if (rule.uid !== undefined && rule.uid !== credentials?.uid) return false;
  if (rule.gid !== undefined && rule.gid !== credentials?.gid) return false;
  const { token } = rule;
  return token === undefined || tokens.some((presented) => token.matches(presented));
}

/** Callers under one rule are told apart by user where the kernel names him. */
function callerId(index: number, rule: Rule, credentials: PeerCredentials | undefined): string {
  const user = credentials === undefined ? 'unknown' : String(credentials.uid);
  return rule.token === undefined ? `uid:${user}` : `rule:${String(index)}:uid:${user}`;
}

/** What makes a sidecar laxer is asked for by a rule, of its owner too. */
const withoutRules: Permissions = { enroll: true, renew: true, pinnedPeers: false };

const maxTokens = 16;
