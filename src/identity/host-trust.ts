import { FollowTrustResponse, TrustBundle } from '../gen/sidekey/v1/certificate_authority.ts';
import { RevocationList, type RevokedCertificate } from './revocation-list.ts';
import { noPosition, RevocationLog } from './revocation-log.ts';
import type { FeedPosition } from './revocation-record.ts';
import type { StateDirectory } from './state-directory.ts';
import { Turns } from './turns.ts';
import { followTrust, readTrustBundle, TrustBundleError, type TrustState } from './trust-bundle.ts';

/** What the authority said of this host besides trust. */
export interface Guidance {
  /** "active", "suspended", …; empty: nothing yet. */
  readonly agentState: string;
  readonly tlsPolicy: TlsFloors | undefined;
  /** Session tickets sealed before are void. */
  readonly ticketKeysNotBefore: Date | undefined;
}

/** The lowest TLS version of each listener, as the authority wants it. */
export interface TlsFloors {
  readonly version: number;
  /** Of listeners not named below; empty: nothing is said. */
  readonly minVersion: string;
  readonly listeners: ReadonlyMap<string, string>;
}

/**
 * What a host knows from its authority, in memory and on disk: whom to believe, who was revoked, and
 * what it was told to do. So a restart, with the authority away, forgets none of it.
 */
export class HostTrust {
  readonly revocations: RevocationList;
  readonly #directory: StateDirectory;
  readonly #log: RevocationLog;
  /** A renewal brings a bundle, too: the newer one has to win. */
  readonly #turns = new Turns();
  #trust: TrustState | undefined;
  #guidance: Guidance = noGuidance;
  #position: FeedPosition;
  #heardAt: Date | undefined;

  private constructor(
    directory: StateDirectory,
    revocations: RevocationList,
    log: RevocationLog,
    position: FeedPosition,
  ) {
    this.revocations = revocations;
    this.#directory = directory;
    this.#log = log;
    this.#position = position;
    this.#heardAt = position.heardAt;
  }

  /** Reads what is there; `problems` name the files that were damaged. */
  static async open(
    directory: StateDirectory,
    now: () => Date,
  ): Promise<{ readonly trust: HostTrust; readonly problems: readonly string[] }> {
    const list = new RevocationList(now);
    const { log, position, problems } = await RevocationLog.open(directory, list);
    const trust = new HostTrust(directory, list, log, position);
    return { trust, problems: [...problems, ...(await trust.#load())] };
  }

  get trust(): TrustState | undefined {
    return this.#trust;
  }

  get guidance(): Guidance {
    return this.#guidance;
  }

  get position(): FeedPosition {
    return this.#position;
  }

  /** When the authority was heard of last. */
  get heardAt(): Date | undefined {
    return this.#heardAt;
  }

  /**
   * Follows a bundle of the authority from what is believed now, or from `pinned`; durable when this
   * resolves. Answers whether anything changed. Rejects with `TrustBundleError`, or an error that
   * names the file that cannot be written; then nothing changed.
   */
  adopt(bundle: TrustBundle, pinned?: TrustState): Promise<boolean> {
    return this.#turns.run(async () => {
      const known = pinned ?? this.#trust;
      if (known === undefined) throw new TrustBundleError('no root is known to begin with');
      const next = followTrust(known, bundle);
      if (next === known) return false;
      await this.#directory.write('trust', TrustBundle.encode(bundle).finish());
      this.#trust = next;
      return true;
    });
  }

  /** A new agent has another state than the one before, and in another domain nothing of old holds. */
  async beginAnew(trustDomain: string): Promise<void> {
    if (this.#guidance !== noGuidance) await this.guide({ agentState: '' });
    if (this.#trust === undefined || this.#trust.trustDomain === trustDomain) return;
    await this.guide(noGuidance);
    await this.replaceRevocations(noPosition, () => []);
    this.#heardAt = undefined;
  }

  /** Durable when this resolves. */
  guide(news: Partial<Guidance>): Promise<void> {
    return this.#turns.run(async () => {
      const guidance = { ...this.#guidance, ...news };
      await this.#directory.write('guidance', encodeGuidance(guidance));
      this.#guidance = guidance;
    });
  }

  /** Nothing was ever heard; durable when this resolves. */
  async forget(): Promise<void> {
    await this.replaceRevocations(noPosition, () => []);
    await this.#turns.run(async () => {
      await this.#directory.remove('trust');
      await this.#directory.remove('guidance');
      this.#trust = undefined;
      this.#guidance = noGuidance;
      this.#heardAt = undefined;
    });
  }

  heard(at: Date): void {
    this.#heardAt = at;
  }

  /** Keeps a step of the feed, whose revocations are in the list already; durable when this resolves. */
  advance(position: FeedPosition, added: readonly RevokedCertificate[]): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#log.isOverdue) {
        this.revocations.prune();
        await this.#log.rewrite(position, this.revocations);
      } else {
        await this.#log.append({ position, added });
      }
      this.#position = position;
    });
  }

  /**
   * Keeps a snapshot in the place of everything before; durable when this resolves. `all` is asked when
   * it is its turn.
   */
  replaceRevocations(
    position: FeedPosition,
    all: () => readonly RevokedCertificate[],
  ): Promise<void> {
    return this.#turns.run(async () => {
      this.revocations.replace(all());
      await this.#log.rewrite(position, this.revocations);
      this.#position = position;
    });
  }

  /** What is kept cannot be continued: the next stream begins with a snapshot. */
  loseTrack(): void {
    this.#position = { ...noPosition, heardAt: this.#heardAt };
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  async #load(): Promise<readonly string[]> {
    const trust = await this.#directory.read('trust');
    const guidance = await this.#directory.read('guidance');
    const problems = [...trust.problems, ...guidance.problems];
    try {
      if (trust.body !== undefined) {
        this.#trust = readTrustBundle(TrustBundle.decode(trust.body));
        if (trust.problems.length > 0) await this.#directory.write('trust', trust.body);
      }
      if (guidance.body !== undefined) this.#guidance = decodeGuidance(guidance.body);
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error));
    }
    return problems;
  }
}

/** As the authority would say it. */
function encodeGuidance({ agentState, tlsPolicy, ticketKeysNotBefore }: Guidance): Uint8Array {
  return FollowTrustResponse.encode(
    FollowTrustResponse.fromPartial({
      agentState,
      ticketKeysNotBefore,
      tlsPolicy: tlsPolicy && {
        version: BigInt(tlsPolicy.version),
        minVersion: tlsPolicy.minVersion,
        listeners: Object.fromEntries(tlsPolicy.listeners),
      },
    }),
  ).finish();
}

function decodeGuidance(body: Uint8Array): Guidance {
  const said = FollowTrustResponse.decode(body);
  return {
    agentState: said.agentState,
    ticketKeysNotBefore: said.ticketKeysNotBefore,
    tlsPolicy: tlsFloorsOf(said),
  };
}

/** What a message says of TLS versions; `undefined`: no news. */
export function tlsFloorsOf({ tlsPolicy }: FollowTrustResponse): TlsFloors | undefined {
  return (
    tlsPolicy && {
      version: Number(tlsPolicy.version),
      minVersion: tlsPolicy.minVersion,
      listeners: new Map(Object.entries(tlsPolicy.listeners)),
    }
  );
}

const noGuidance: Guidance = {
  agentState: '',
  tlsPolicy: undefined,
  ticketKeysNotBefore: undefined,
};
