import { expect } from 'chai';
import { toHex } from '../../../src/bytes/bytes.ts';
import type { Generation } from '../../../src/ca/generations/generation.ts';
import { type DueStep, dueSteps, type Standing } from '../../../src/ca/rotation/due.ts';
import { defaultRotationSettings } from '../../../src/ca/rotation/settings.ts';
import type { StoredKey } from '../../../src/ca/rotation/token-keys.ts';
import type { CaKind, CaState } from '../../../src/ca/store/schema.ts';
import { createTestCa } from '../../support/test-ca.ts';

const day = 86_400_000;
const begin = Date.UTC(2026, 0, 1);
const settings = { ...defaultRotationSettings, overlapMs: day };
const certificate = createTestCa().parsed;

describe('automatic rotation', () => {
  const cases: readonly {
    readonly name: string;
    /** Share of the life of what signs that is over. */
    readonly spent: number;
    readonly others?: readonly [CaState, number?][];
    readonly reissued?: boolean;
    readonly due: readonly string[];
  }[] = [
    { name: 'does nothing before half of a life is over', spent: 0.49, due: [] },
    { name: 'prepares at half of a life', spent: 0.5, due: ['prepare next'] },
    {
      name: 'publishes what is prepared at once',
      spent: 0.5,
      others: [['prepared']],
      due: ['publish 2'],
    },
    { name: 'leaves what is published alone', spent: 0.83, others: [['published']], due: [] },
    {
      name: 'activates when a sixth is left',
      spent: 0.84,
      others: [['published']],
      due: ['activate 2'],
    },
    {
      name: 'reissues below what drains',
      spent: 0,
      others: [['draining', 0]],
      due: ['reissue 2'],
    },
    {
      name: 'leaves the way back open for the overlap',
      spent: 0,
      others: [['draining', day - 1]],
      reissued: true,
      due: [],
    },
    {
      name: 'retires after the overlap',
      spent: 0,
      others: [['draining', day]],
      reissued: true,
      due: ['retire 2'],
    },
    {
      name: 'retires at once what is tainted',
      spent: 0,
      others: [['tainted', 0]],
      reissued: true,
      due: ['retire 2'],
    },
    {
      name: 'destroys what is retired later',
      spent: 0,
      others: [['retired', day]],
      due: ['destroy 2'],
    },
    {
      name: 'destroys what was given up later',
      spent: 0,
      others: [['aborted', day]],
      due: ['destroy 2'],
    },
    { name: 'is done with what is destroyed', spent: 0, others: [['destroyed', day]], due: [] },
  ];
  for (const { name, spent, others = [], reissued = false, due } of cases) {
    it(name, () => {
      const now = begin + spent * 60 * day;
      const generations = [
        generation('root', 1, 'signing'),
        ...others.map(([state], index) => generation('root', index + 2, state)),
      ];
      const since = others.map(([, age = 0], index): [string, number] => {
        return [toHex(generations[index + 1]!.id), now - age];
      });
      const standing: Standing = {
        generations,
        tokenKeys: [],
        since: new Map(since),
        reissued: new Set(reissued ? generations.map(({ id }) => toHex(id)) : []),
        now,
      };
      expect(dueSteps(standing, settings).map(describeDue)).to.deep.equal(due);
    });
  }

  it('leaves issuing CAs below a root that leaves to the root', () => {
    const old = generation('root', 1, 'draining');
    const below = { ...generation('issuing', 1, 'draining'), parent: old.id };
    const standing = {
      generations: [old, generation('root', 2, 'signing'), below],
      tokenKeys: [],
      since: new Map(),
      reissued: new Set<string>(),
      now: begin,
    };
    expect(dueSteps(standing, settings).map(({ kind }) => kind)).to.deep.equal(['root']);
  });

  const life = defaultRotationSettings.tokenKeyLifetimeMs;
  const keyCases: readonly [string, number, readonly CaState[], readonly string[]][] = [
    ['keeps a token key for its life', life - 1, ['signing'], []],
    ['then prepares another', life, ['signing'], ['prepare next']],
    ['and activates it', life, ['signing', 'published'], ['activate 2']],
    ['retires the one before', 0, ['draining', 'signing'], ['retire 1']],
  ];
  for (const [name, age, states, due] of keyCases) {
    it(name, () => {
      const tokenKeys = states.map((state, index): StoredKey => ({
        id: new Uint8Array(8),
        number: index + 1,
        state,
        keyRef: '',
        createdAt: begin,
      }));
      const now = begin + age;
      const standing = { generations: [], tokenKeys, since: new Map(), reissued: new Set(''), now };
      expect(dueSteps(standing, settings).map(describeDue)).to.deep.equal(due);
    });
  }
});

function generation(kind: CaKind, number: number, state: CaState): Generation {
  return {
    id: new Uint8Array(16).fill(number + (kind === 'root' ? 0 : 100)),
    kind,
    number,
    state,
    stateVersion: 1,
    publishedIn: undefined,
    parent: undefined,
    certificate: Object.create(certificate, {
      notBefore: { value: new Date(begin) },
      notAfter: { value: new Date(begin + 60 * day) },
    }),
    crossCertificate: undefined,
    oldWithNew: undefined,
    keyRef: '',
  };
}

function describeDue({ step, number }: DueStep): string {
  return `${step} ${String(number ?? 'next')}`;
}
