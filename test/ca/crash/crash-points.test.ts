import { expect } from 'chai';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { namedPoints, type Scenario, scenarios, startPoints, writePoints } from './cases.ts';
import { Child } from './child.ts';
import { type Homes, makeTemplate, postgresHomes, sqliteHomes, type Template } from './homes.ts';
import { type Home, initialise, openReplica } from './replica.ts';
import { expectSound } from './soundness.ts';
import { skip } from '../../support/skip.ts';

const extent = extentOf(process.env['CRASH_POINTS']);

const counts = { points: new Set<string>(), deaths: 0 };

describe('an authority that is killed', function () {
  this.timeout(120_000);

  it('has a scenario for every point the source names', () => {
    const tested = new Set([
      ...scenarios.flatMap(({ points }) => points),
      ...Object.values(startPoints).flat(),
      ...writePoints,
    ]);
    const source = fileURLToPath(new URL('../../../src/ca', import.meta.url));
    expect([...tested].sort()).to.deep.equal(namedPoints(source));
  });

  for (const { store, homesOf } of [
    { store: 'SQLite', homesOf: () => Promise.resolve(sqliteHomes) },
    { store: 'PostgreSQL', homesOf: postgresHomes },
  ]) {
    describe(`on ${store}`, () => {
      let homes: Homes;
      let template: Template;
      before(async function () {
        const made = await homesOf();
        if ('unavailable' in made) return skip(this, made.unavailable);
        homes = made;
        template = await makeTemplate(homes);
      });
      after(async () => {
        // eslint-disable-next-line no-console -- how much was tried is part of the result
        console.log(
          `      ${String(counts.points.size)} points, killed ${String(counts.deaths)} times`,
        );
        await homes.remove(template.home);
      });

      for (const scenario of scenarios) {
        for (const point of pointsOf(scenario, store)) {
          it(`${scenario.name}: killed at ${point}`, async () => {
            const home = await homes.copy(template.home);
            try {
              await dieIn(home, scenario, template, point);
              const authority = await openReplica(home, 'replica-1', scenario.laterMs);
              try {
                const deed = deedOf(scenario, template);
                await scenario.again(authority, deed, { committed: isLate(point), template });
              } finally {
                await authority.close();
              }
              await expectSound(home);
            } finally {
              await homes.remove(home);
            }
          });
        }
      }

      for (const point of startsOf(startPoints.initialise, store)) {
        it(`is made: killed at ${point}`, async () => {
          const home = await homes.empty();
          try {
            mkdirSync(home.directory, { recursive: true });
            const child = new Child(home, { mode: 'initialise', crashAt: point });
            expectKilled(await child.started(), point);
            await initialise(home).catch((error: unknown) => {
              // It was finished: only its maker does not know.
              if (!isLate(point)) throw error;
            });
            await (await openReplica(home)).close();
            await expectSound(home);
          } finally {
            await homes.remove(home);
          }
        });
      }

      for (const point of startsOf(startPoints.open, store)) {
        it(`starts for the first time: killed at ${point}`, async () => {
          const home = await homes.empty();
          try {
            await initialise(home);
            const child = new Child(home, { crashAt: point });
            expectKilled(await child.started(), point);
            await (await openReplica(home)).close();
            await expectSound(home);
          } finally {
            await homes.remove(home);
          }
        });
      }
    });
  }
});

/**
 * `make crash` tries every point of every scenario on both stores; with `POINTS=once` each point once on
 * SQLite, and on PostgreSQL what differs there: commits. Otherwise each kind of change is cut short
 * just before it is written on SQLite, and just after its commit on PostgreSQL.
 */
function pointsOf({ name, points, inside }: Scenario, store: string): readonly string[] {
  const isLastInside = scenarios.findLast((other) => other.inside === inside)?.name === name;
  const commits = isLastInside ? writePoints : [];
  const isFirst = (point: string): boolean =>
    scenarios.find((other) => other.points.includes(point))?.name === name;
  switch (extent) {
    case 'all':
      return [...points, ...writePoints];
    case 'once':
      return store === 'SQLite' ? [...points.filter(isFirst), ...commits.slice(1)] : commits;
    case 'sample':
      return store === 'SQLite'
        ? points.filter((point) => isFirst(point) && point === inside)
        : commits.slice(1);
  }
}

/** Of points where an authority dies while it is made or starts. */
function startsOf(points: readonly string[], store: string): readonly string[] {
  return extent === 'sample' && store === 'SQLite' ? points : [...points, ...writePoints];
}

// One deed for a scenario: whoever asks again asks the same.
const deeds = new Map<Scenario, ReturnType<Scenario['deed']>>();

function deedOf(scenario: Scenario, template: Template): ReturnType<Scenario['deed']> {
  const deed = deeds.get(scenario) ?? scenario.deed(template);
  deeds.set(scenario, deed);
  return deed;
}

async function dieIn(
  home: Home,
  scenario: Scenario,
  template: Template,
  point: string,
): Promise<void> {
  deeds.delete(scenario);
  const child = new Child(home, { clockOffsetMs: scenario.laterMs ?? 0 });
  expect(await child.started()).to.equal(undefined);
  for (const deed of scenario.before ?? []) {
    expect(await child.do(deed)).to.have.property('done');
  }
  const crashAt = writePoints.includes(point) ? `${scenario.inside}>${point}` : point;
  const fate = await child.do(deedOf(scenario, template), crashAt);
  await child.stop();
  expectKilled(fate, point);
}

function extentOf(value: string | undefined): 'sample' | 'once' | 'all' {
  if (value === undefined || value === '') return 'sample';
  if (value === 'once' || value === 'all') return value;
  throw new Error(`CRASH_POINTS: "${value}" is neither "once" nor "all"`);
}

function expectKilled(fate: unknown, point: string): void {
  expect(fate, `${point} was not reached`).to.deep.equal({ died: 'SIGKILL' });
  counts.points.add(point);
  counts.deaths += 1;
}

function isLate(point: string): boolean {
  return point.endsWith('.after_commit');
}
