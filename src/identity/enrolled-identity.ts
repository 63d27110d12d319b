import type { KeyObject } from 'node:crypto';
import { toHex } from '../bytes/bytes.ts';
import type { FollowTrustResponse, HostReport } from '../gen/sidekey/v1/certificate_authority.ts';
import { ServiceError } from '../rpc/errors.ts';
import { AuthorityLink, type LinkTarget } from './authority-link.ts';
import { CredentialStore } from './credential-store.ts';
import type { CurrentSlot } from './current-slot.ts';
import { type Enrolment, Enroller } from './enroller.ts';
import { HostTrust, type TlsFloors } from './host-trust.ts';
import {
  type EnrolmentState,
  type EnrolmentStatus,
  hasExpired,
  isRevoked,
  problemOf,
} from './identity-status.ts';
import type { EnrolledIdentityOptions } from './options.ts';
import { Renewer } from './renewer.ts';
import { RetiredKey } from './retired-key.ts';
import type { RevocationList } from './revocation-list.ts';
import { StateDirectory } from './state-directory.ts';
import { nodeTimers } from './timers.ts';
import type { TrustState } from './trust-bundle.ts';
import { TrustFollower } from './trust-follower.ts';
import { Turns } from './turns.ts';

/** A private key and its certificates. */
export interface HostCredential {
  /** Another for every key and chain. */
  readonly version: string;
  readonly privateKey: KeyObject;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

interface Kept {
  readonly directory: StateDirectory;
  readonly store: CredentialStore;
  readonly trust: HostTrust;
  /** Of files, by name. */
  readonly problems: readonly string[];
}

/**
 * An identity of this host that an authority issues: enrols with a bundle, renews its certificates
 * before they end, follows trust and revocations, and comes back as the same agent whenever the
 * process ended.
 */
export class EnrolledIdentity {
  readonly #options: EnrolledIdentityOptions;
  readonly #kept: Kept;
  readonly #link: AuthorityLink;
  readonly #enroller: Enroller;
  readonly #renewer: Renewer;
  readonly #follower: TrustFollower;
  readonly #listeners = new Set<() => void>();
  readonly #turns = new Turns();
  readonly #retired: RetiredKey;
  #credential: { readonly slot: CurrentSlot; readonly credential: HostCredential } | undefined;
  #clockSkewMs: number | undefined;
  #started = false;
  #closed = false;
  /** It is on disk that the enrolment is to be forgotten, and not everything is gone yet. */
  #isForgetting = false;

  private constructor(options: EnrolledIdentityOptions, kept: Kept) {
    this.#options = options;
    this.#kept = kept;
    const { dial, now, log, timers = nodeTimers } = options;
    this.#retired = new RetiredKey(timers, now);
    const random = () => Buffer.from(options.random(6)).readUIntBE(0, 6) / 2 ** 48;
    this.#link = new AuthorityLink({ dial, random, target: () => this.#target() });
    const common = {
      ...kept,
      ...{ dial, now, log, timers, random },
      installed: () => this.#shutLatch(),
      link: this.#link,
      reached: options.reached ?? (() => undefined),
      report: () => this.#report(),
      exclusive: <T>(task: () => Promise<T>) => this.#turns.run(task),
      onChanged: () => {
        this.#changed();
      },
      onServerTime: (time: Date | undefined) => {
        this.#compareClocks(time);
      },
    };
    this.#enroller = new Enroller({
      ...common,
      isLost: (slot) => isRevoked(slot, kept.trust) || hasExpired(slot, now()),
      onEnrolled: () => {
        this.#enrolled();
      },
    });
    this.#renewer = new Renewer({
      ...common,
      onRenewed: (before) => {
        const replaced = decryptionOf(before, toHex(before.leaf.fingerprint));
        if (replaced !== undefined) this.#retired.keep(replaced);
        void this.#reconnect();
      },
    });
    this.#follower = new TrustFollower({
      ...common,
      onArrived: (message) => {
        this.#heard(message);
      },
    });
  }

  /**
   * Reads what is kept in the directory. Damaged files are mended from their copies where there is a
   * good one, and named in {@link problem} where not. Rejects if another process uses the directory.
   */
  static async open(options: EnrolledIdentityOptions): Promise<EnrolledIdentity> {
    const directory = await StateDirectory.open(options.directory);
    try {
      const { store, problems: ofSlots } = await CredentialStore.open({
        directory,
        tlsKeyType: options.tlsKeyType ?? 'ecdsa-p256',
        decryptionKeyType: options.decryptionKeyType ?? 'ecdsa-p256',
        reached: options.reached ?? (() => undefined),
      });
      const { trust, problems: ofTrust } = await HostTrust.open(directory, options.now);
      const problems = [...ofSlots, ...ofTrust];
      for (const problem of problems) options.log.error({ problem }, 'a state file was damaged');
      const identity = new EnrolledIdentity(options, { directory, store, trust, problems });
      await identity.#settleLatch();
      return identity;
    } catch (error) {
      await directory.close();
      throw error;
    }
  }

  get name(): string {
    return this.#options.name;
  }

  /** What to show to peers; absent before enrolment, and once the authority revoked it. */
  get current(): HostCredential | undefined {
    const slot = this.#enrolledSlot();
    if (slot === undefined || isRevoked(slot, this.#kept.trust)) return undefined;
    if (this.#credential?.slot !== slot) {
      const version = toHex(slot.leaf.fingerprint);
      const credential = { version, privateKey: slot.keys.tls, chain: slot.tlsChain };
      this.#credential = { slot, credential };
    }
    return this.#credential.credential;
  }

  /** What opens what was encrypted for this host; absent as {@link current}, or if none is wanted. */
  get decryption(): HostCredential | undefined {
    const slot = this.#enrolledSlot();
    const version = this.current?.version;
    return slot === undefined || version === undefined ? undefined : decryptionOf(slot, version);
  }

  /** The same of before the last renewal, for some minutes after it. */
  get retiredDecryption(): HostCredential | undefined {
    return this.current === undefined ? undefined : this.#retired.credential;
  }

  /** Whom to believe; absent before enrolment. */
  get trust(): TrustState | undefined {
    return this.#enrolledSlot() && this.#kept.trust.trust;
  }

  get revocations(): RevocationList {
    return this.#kept.trust.revocations;
  }

  /** Session tickets sealed before are void. */
  get ticketKeysNotBefore(): Date | undefined {
    return this.#kept.trust.guidance.ticketKeysNotBefore;
  }

  get tlsPolicy(): TlsFloors | undefined {
    return this.#kept.trust.guidance.tlsPolicy;
  }

  /** Properties of the token this host enrolled with. */
  get properties(): ReadonlyMap<string, string> {
    return this.#kept.store.current?.properties ?? new Map<string, string>();
  }

  get status(): EnrolmentStatus {
    const { position, trust, guidance, heardAt } = this.#kept.trust;
    return {
      state: this.#state(),
      renewAt: this.#renewer.nextAt,
      trustReceivedAt: heardAt,
      bundleSequence: trust?.sequence ?? 0,
      feedSequence: position.sequence,
      renewals: this.#renewer.renewals,
      failedRenewals: this.#renewer.failedRenewals,
      spiffeId: this.#kept.store.current?.spiffeId,
      agentState: guidance.agentState,
      clockSkewMs: this.#clockSkewMs,
    };
  }

  /** Why it cannot be used, or not for long, and what to do; absent: all is well. */
  get problem(): string | undefined {
    const slot = this.#enrolledSlot();
    if (slot === undefined) return this.#problemBeforeEnrolment();
    return problemOf({
      slot,
      trust: this.#kept.trust,
      now: this.#options.now(),
      renewalProblem: this.#renewer.problem,
      followProblem: this.#follower.problem,
      bundleProblem: this.#follower.bundleProblem,
      clockSkewMs: this.#clockSkewMs,
    });
  }

  /** Called after anything above has changed, revocations apart. Answers how to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Begins to renew and to follow, and goes on with an enrolment that was begun. */
  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    if (this.#enrolledSlot() === undefined) {
      this.#enroller.resume();
      return;
    }
    this.#renewer.start();
    this.#follower.start();
  }

  /**
   * Enrols with the content of a bundle file, which stays the caller's. With a bundle that was used
   * here before, answers what came of it. Keys and bundle are on disk before the authority is asked;
   * if it cannot be reached, this rejects after a while, and trying goes on by itself.
   *
   * Rejects with `ServiceError`: `INVALID_ARGUMENT` with the reasons of `BundleError`,
   * `FAILED_PRECONDITION` with `already_enrolled` or `bundle_expired`, `PERMISSION_DENIED` with the
   * authority's reason or what is wrong with its answer, `UNAVAILABLE`.
   */
  async enroll(file: Uint8Array): Promise<Enrolment> {
    // What was to be forgotten and is not all gone would take this along.
    if (this.#isForgetting) await this.forget();
    const enrolment = await this.#enroller.enroll(file);
    await this.#shutLatch();
    return enrolment;
  }

  /**
   * Renews the certificates now. Rejects with `ServiceError`: `FAILED_PRECONDITION` with `not_enrolled` or
   * the reason for which the authority refuses it, `UNAVAILABLE`.
   */
  async renew(): Promise<Date> {
    await this.#renewer.renewNow();
    const slot = this.#enrolledSlot();
    if (slot !== undefined) return slot.leaf.notAfter;
    throw new ServiceError('FAILED_PRECONDITION', 'not_enrolled', 'this identity was forgotten');
  }

  /**
   * Destroys the keys and all else the enrolment left, and opens what ended with it again. Once this is
   * on disk as an intention, neither a crash nor an error of the disk leaves the identity usable: it is
   * gone on with at the next start. Answers whether there was anything to forget. Rejects with
   * `ServiceError`: `UNAVAILABLE` with `state_not_writable`.
   */
  forget(): Promise<boolean> {
    return this.#turns.run(async () => {
      if (this.#closed) throw new ServiceError('UNAVAILABLE', 'closed', 'this identity was closed');
      const { store } = this.#kept;
      const { pending } = store;
      if (!this.#isForgetting && store.current === undefined && pending === undefined) return false;
      try {
        await this.#forget();
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        throw new ServiceError('UNAVAILABLE', 'state_not_writable', error.message);
      } finally {
        this.#changed();
      }
      return true;
    });
  }

  /** Stops everything and lets go of the directory. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#enroller.stop();
    this.#renewer.stop();
    this.#retired.forget();
    const stopped = this.#follower.stop();
    await this.#link.close();
    await Promise.all([stopped, this.#turns.settled()]);
    await this.#kept.trust.close();
    await this.#kept.directory.close();
  }

  /** Each step leaves a state from which the next start goes on. */
  async #forget(): Promise<void> {
    const { directory, store, trust } = this.#kept;
    const { reached = () => undefined, latch, log } = this.#options;
    if (!this.#isForgetting) await directory.write('forgotten', new Uint8Array());
    this.#isForgetting = true;
    reached('host.after_marked');
    this.#enroller.reset();
    this.#renewer.stop();
    await this.#follower.stop();
    await this.#link.reset();
    await store.forget();
    await trust.forget();
    this.#credential = undefined;
    this.#retired.forget();
    reached('host.after_removed');
    await latch?.reopen();
    await directory.remove('forgotten');
    this.#isForgetting = false;
    reached('host.after_forgotten');
    log.info('enrolment forgotten, its keys destroyed');
  }

  /** What ends with the enrolment may not have heard of it, or of its end, before the process ended. */
  async #settleLatch(): Promise<void> {
    const { directory, store } = this.#kept;
    const { body, problems } = await directory.read('forgotten');
    // Whatever the file says: that it is there means that the enrolment was to be forgotten.
    this.#isForgetting = body !== undefined || problems.length > 0;
    if (!this.#isForgetting) {
      if (store.current !== undefined) await this.#shutLatch();
      return;
    }
    try {
      await this.#forget();
    } catch (error) {
      this.#options.log.error({ err: error }, 'the end of an enrolment is not on disk yet');
    }
  }

  /** Certificates on disk say the same, so what cannot be written now is written at the next start. */
  async #shutLatch(): Promise<void> {
    try {
      await this.#options.latch?.shut();
    } catch (error) {
      this.#options.log.error(
        { err: error },
        'what ends with the enrolment is shut in memory only',
      );
    }
  }

  /** Certificates are worth nothing without roots, so both or none. */
  #enrolledSlot(): CurrentSlot | undefined {
    if (this.#isForgetting) return undefined;
    return this.#kept.trust.trust && this.#kept.store.current;
  }

  #state(): EnrolmentState {
    const slot = this.#enrolledSlot();
    if (slot === undefined) {
      return this.#enroller.isEnrolling ? 'enrolling' : 'waiting for a bundle';
    }
    if (isRevoked(slot, this.#kept.trust)) return 'revoked';
    return hasExpired(slot, this.#options.now()) ? 'expired' : 'enrolled';
  }

  #problemBeforeEnrolment(): string {
    const { problem, isEnrolling } = this.#enroller;
    if (this.#isForgetting) return 'not enrolled: what was to be forgotten is not all gone yet';
    const [damaged] = this.#kept.problems;
    if (problem !== undefined) return `not enrolled: ${problem}`;
    if (isEnrolling) return 'enrolling';
    const hint = 'enrol with a bundle';
    return damaged === undefined ? `not enrolled: ${hint}` : `${damaged}: ${hint}`;
  }

  #enrolled(): void {
    this.#renewer.reset();
    if (this.#started && !this.#closed) this.#renewer.start();
    void this.#reconnect();
  }

  /** New certificates are seen by a new connection only. */
  async #reconnect(): Promise<void> {
    this.#changed();
    await this.#link.reset();
    if (this.#started && !this.#closed) this.#follower.restart();
  }

  #heard(message: FollowTrustResponse): void {
    this.#compareClocks(message.serverTime);
    const { agentState } = this.#kept.trust.guidance;
    if (message.agentState === 'active' && agentState !== 'active') this.#renewer.retry();
    if (message.renewAt !== undefined) this.#renewer.order(message.renewAt);
  }

  #compareClocks(serverTime: Date | undefined): void {
    if (serverTime === undefined) return;
    this.#clockSkewMs = serverTime.getTime() - this.#options.now().getTime();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #target(): LinkTarget {
    const slot = this.#enrolledSlot();
    const { trust } = this.#kept.trust;
    if (slot === undefined || trust === undefined) throw new Error('not enrolled');
    return {
      addresses: trust.addresses,
      credential: { privateKey: slot.keys.tls, chain: slot.tlsChain },
      expectation: trust,
    };
  }

  #report(): HostReport {
    const { version, listeners, now } = this.#options;
    return { version, hostTime: now(), listeners: [...(listeners?.() ?? [])] };
  }
}

function decryptionOf(
  { keys, decryptionChain }: CurrentSlot,
  version: string,
): HostCredential | undefined {
  const { decryption } = keys;
  return decryption && { version, privateKey: decryption, chain: decryptionChain };
}
