import type { Queries } from '../store/transaction.ts';
import { type GateCount, MAX_LAGGARDS } from './gate-count.ts';
import { countAcknowledgements, countDependents, type HostWindow } from './count-hosts.ts';
import { countKeyHolders, countMoved, type ReplicaWindow } from './count-replicas.ts';
import { countBundleFiles, countLastCrls, countTokens } from './count-leftovers.ts';
import type { Gate } from './rotation.ts';
import type { GateName, RotationKind, RotationStep } from './steps.ts';

/** What the gates of a step are about. */
export interface GateSubject {
  readonly kind: RotationKind;
  readonly number: number;
  readonly step: RotationStep;
  readonly gates: readonly GateName[];
  /** Ids of keys that replicas have to be able to use. */
  readonly keys: readonly Uint8Array[];
  /** Ids of generations that nothing may depend on any more; of a token key, its own. */
  readonly leaving: readonly Uint8Array[];
  /** Number of the trust bundle hosts have to have. */
  readonly bundle: number;
  /** When the CA that bundle files have to know was published. */
  readonly publishedAt: number;
  /** Number of the issuing CA in charge. */
  readonly issuing: number;
}

/** Who counts, for how long after it was last heard of. */
export interface GateWindows {
  readonly hosts: HostWindow;
  readonly replicas: ReplicaWindow;
}

/**
 * Counts all that a step waits for, in the transaction that takes it: what is counted cannot change
 * before the step is done, but for replicas that only just come up, which read everything anew.
 */
export async function readGate(
  queries: Queries,
  now: number,
  subject: GateSubject,
  windows: GateWindows,
): Promise<Gate> {
  const counts: GateCount[] = [];
  for (const name of subject.gates) counts.push(await count(queries, now, name, subject, windows));
  const sum = (pick: (each: GateCount) => number) => counts.reduce((n, each) => n + pick(each), 0);
  const needed = sum((each) => each.needed);
  const reached = sum((each) => each.reached);
  return {
    kind: subject.kind,
    number: subject.number,
    step: subject.step,
    open: reached === needed,
    needed,
    reached,
    laggards: counts.flatMap(({ laggards }) => laggards).slice(0, MAX_LAGGARDS),
    laggardsTotal: sum((each) => each.laggardsTotal),
    detail: counts.map(({ detail }) => detail).join('; '),
  };
}

async function count(
  queries: Queries,
  now: number,
  name: GateName,
  subject: GateSubject,
  windows: GateWindows,
): Promise<GateCount> {
  switch (name) {
    case 'replicas':
      return await countKeyHolders(queries, now, subject.keys, windows.replicas);
    case 'replicas_moved':
      return await countMoved(queries, now, subject.issuing, windows.replicas);
    case 'acknowledged':
      return await countAcknowledgements(queries, now, subject.bundle, windows.hosts);
    case 'certificates':
      return await countDependents(queries, now, subject.leaving);
    case 'bundle_files':
      return await countBundleFiles(queries, now, subject.publishedAt);
    case 'tokens':
      return await countTokens(queries, now, subject.leaving);
    case 'last_crl':
      return await countLastCrls(queries, now, subject.leaving);
  }
}
