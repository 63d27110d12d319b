import { equal, toHex } from '../../bytes/bytes.ts';
import type { Generation } from '../generations/generation.ts';
import type { CaKind } from '../store/schema.ts';
import type { RotationSettings } from './settings.ts';
import type { StoredKey } from './token-keys.ts';
import type { RotationKind, RotationStep } from './steps.ts';

/** A step that the automatic mode wants to take now, if its gate lets it. */
export interface DueStep {
  readonly kind: Exclude<RotationKind, 'ticket'>;
  readonly step: RotationStep;
  /** Absent: of the generation that is made by it. */
  readonly number: number | undefined;
}

/** How things stand when the automatic mode looks. */
export interface Standing {
  readonly generations: readonly Generation[];
  readonly tokenKeys: readonly StoredKey[];
  /** When a generation came into its state, by hex id. */
  readonly since: ReadonlyMap<string, number>;
  /** Hex ids of the generations for which a reissue was ever begun. */
  readonly reissued: ReadonlySet<string>;
  readonly now: number;
}

/**
 * What is due: the next generation is prepared when half of the present one's life is over, published
 * at once, and activated when a sixth is left; hosts are reissued; the old is retired after the overlap
 * and destroyed as long after that.
 */
export function dueSteps(
  standing: Standing,
  settings: Pick<RotationSettings, 'overlapMs' | 'tokenKeyLifetimeMs'>,
): readonly DueStep[] {
  return [
    ...caKinds.flatMap((kind) => dueForCa(standing, kind, settings.overlapMs)),
    ...dueForTokenKeys(standing, settings),
  ];
}

function dueForCa(standing: Standing, kind: CaKind, overlapMs: number): DueStep[] {
  const { generations, now } = standing;
  const own = generations.filter((each) => each.kind === kind);
  const present = own.find(({ state }) => state === 'signing');
  return [
    ...(present === undefined ? [] : towardsSuccessor(own, present, now)),
    ...own.flatMap((each) => afterwards(standing, each, overlapMs)),
  ];
}

function towardsSuccessor(own: readonly Generation[], present: Generation, now: number): DueStep[] {
  const { kind, certificate } = present;
  const begin = certificate.notBefore.getTime();
  const end = certificate.notAfter.getTime();
  const next = own.findLast(({ state, parent }) => {
    return (state === 'prepared' || state === 'published') && sameId(parent, present.parent);
  });
  if (next === undefined) {
    const half = begin + (end - begin) / 2;
    return now >= half ? [{ kind, step: 'prepare', number: undefined }] : [];
  }
  const { number, state } = next;
  if (state === 'prepared') return [{ kind, step: 'publish', number }];
  return now >= end - (end - begin) / 6 ? [{ kind, step: 'activate', number }] : [];
}

/** What becomes of a generation that has signed. One below a root that leaves goes with it. */
function afterwards(standing: Standing, generation: Generation, overlapMs: number): DueStep[] {
  const { generations, since, now, reissued } = standing;
  const { kind, number, state, id, parent } = generation;
  const root = generations.find((each) => parent !== undefined && equal(each.id, parent));
  if (root?.state === state) return [];
  const age = now - (since.get(toHex(id)) ?? now);
  switch (state) {
    case 'draining':
    case 'tainted': {
      if (kind !== 'enrolment' && !reissued.has(toHex(id)))
        return [{ kind, step: 'reissue', number }];
      // There is no way back to a key in wrong hands.
      return state === 'tainted' || age >= overlapMs ? [{ kind, step: 'retire', number }] : [];
    }
    case 'retired':
    case 'aborted':
      return age >= overlapMs ? [{ kind, step: 'destroy', number }] : [];
    case 'prepared':
    case 'published':
    case 'signing':
    case 'destroyed':
      return [];
  }
}

function dueForTokenKeys(
  { tokenKeys, now }: Standing,
  settings: Pick<RotationSettings, 'tokenKeyLifetimeMs'>,
): DueStep[] {
  const kind = 'token';
  const present = tokenKeys.find(({ state }) => state === 'signing');
  const next = tokenKeys.find(({ state }) => state === 'published');
  const old = tokenKeys.filter(({ state }) => state === 'draining');
  const isOld = now >= (present?.createdAt ?? Infinity) + settings.tokenKeyLifetimeMs;
  return [
    ...(isOld && next === undefined ? [{ kind, step: 'prepare', number: undefined } as const] : []),
    ...(isOld && next ? [{ kind, step: 'activate', number: next.number } as const] : []),
    ...old.map(({ number }) => ({ kind, step: 'retire', number }) as const),
  ];
}

function sameId(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equal(a, b);
}

const caKinds: readonly CaKind[] = ['root', 'issuing', 'enrolment'];
