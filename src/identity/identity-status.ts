import type { AuthorityFailure } from './authority-failure.ts';
import type { CurrentSlot } from './current-slot.ts';
import type { HostTrust } from './host-trust.ts';

/** How the enrolment is, for people and metrics. */
export interface EnrolmentStatus {
  readonly state: EnrolmentState;
  readonly renewAt: Date | undefined;
  /** When the authority was heard of last, by our clock. */
  readonly trustReceivedAt: Date | undefined;
  readonly bundleSequence: number;
  readonly feedSequence: number;
  /** Certificates obtained since the process started, and attempts that failed. */
  readonly renewals: number;
  readonly failedRenewals: number;
  readonly spiffeId: string | undefined;
  /** As the authority has it: "active", "suspended", …; empty: it has not said yet. */
  readonly agentState: string;
  /** How far the authority's clock is ahead of ours; negative: behind. Absent: not known yet. */
  readonly clockSkewMs: number | undefined;
}

export type EnrolmentState =
  'waiting for a bundle' | 'enrolling' | 'enrolled' | 'expired' | 'revoked';

/** What is to be judged: an enrolled host. */
export interface EnrolledFacts {
  readonly slot: CurrentSlot;
  readonly trust: HostTrust;
  readonly now: Date;
  readonly renewalProblem: string | undefined;
  readonly followProblem: AuthorityFailure | undefined;
  readonly bundleProblem: string | undefined;
  readonly clockSkewMs: number | undefined;
}

/** Whether peers are told not to believe this host any more. */
export function isRevoked(slot: CurrentSlot, { guidance, revocations }: HostTrust): boolean {
  if (finalStates.has(guidance.agentState)) return true;
  return revocations.isRevoked({ serial: slot.leaf.serialNumber, spiffeId: slot.spiffeId });
}

export function hasExpired({ leaf }: CurrentSlot, now: Date): boolean {
  return now.getTime() > leaf.notAfter.getTime();
}

/** The worst that is wrong with an enrolled host, and what to do about it. */
export function problemOf(facts: EnrolledFacts): string | undefined {
  return (
    problemOfAgent(facts) ??
    problemOfValidity(facts) ??
    facts.renewalProblem ??
    facts.bundleProblem ??
    problemOfClock(facts) ??
    problemOfFeed(facts)
  );
}

function problemOfAgent({ slot, trust }: EnrolledFacts): string | undefined {
  const { agentState } = trust.guidance;
  const hint = stateHints.get(agentState);
  if (hint !== undefined) return `${slot.spiffeId} is ${agentState}: ${hint}`;
  if (!isRevoked(slot, trust)) return undefined;
  return `the certificate of ${slot.spiffeId} was revoked: enrol again with a new bundle`;
}

function problemOfValidity({ slot, now, renewalProblem }: EnrolledFacts): string | undefined {
  const { notBefore, notAfter } = slot.leaf;
  if (hasExpired(slot, now)) {
    const why = renewalProblem === undefined ? '' : ` (${renewalProblem})`;
    return `the certificate expired at ${notAfter.toISOString()}${why}`;
  }
  if (now.getTime() >= notBefore.getTime()) return undefined;
  return `the certificate is not valid before ${notBefore.toISOString()}, and the clock of this host says ${now.toISOString()}`;
}

function problemOfClock({ clockSkewMs, now }: EnrolledFacts): string | undefined {
  if (clockSkewMs === undefined || Math.abs(clockSkewMs) < toleratedSkewMs) return undefined;
  const theirs = new Date(now.getTime() + clockSkewMs).toISOString();
  return `the clock of this host says ${now.toISOString()}, that of the authority ${theirs}: set one of them`;
}

function problemOfFeed({ trust, followProblem, now }: EnrolledFacts): string | undefined {
  if (followProblem === undefined) return undefined;
  const { heardAt } = trust;
  if (heardAt !== undefined && now.getTime() - heardAt.getTime() < toleratedSilenceMs) {
    return undefined;
  }
  const since = heardAt === undefined ? '' : ` since ${heardAt.toISOString()}`;
  return `nothing was heard of the authority${since}: ${followProblem.message}`;
}

/** Nothing leads out of these but a new enrolment. */
const finalStates: ReadonlySet<string> = new Set(['banned', 'retired']);

const stateHints: ReadonlyMap<string, string> = new Map([
  ['suspended', 'it cannot renew until an operator resumes it'],
  ['quarantined', 'two hosts may hold its keys, so it cannot renew until an operator releases it'],
  ['banned', 'it may not be used any more; only an operator can enrol it anew'],
  ['retired', 'it has left the fleet; enrol again with a new bundle'],
]);

/** Certificates are dated back by as much. */
const toleratedSkewMs = 300_000;
const toleratedSilenceMs = 300_000;
