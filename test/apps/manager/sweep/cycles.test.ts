import { expect } from 'chai';
import { Cycles } from '../../../../src/apps/manager/sweep/cycles.ts';

describe('sweeps', () => {
  const at = (ms: number): Date => new Date(1_800_000_000_000 + ms);

  it('are told of once they are over, each by its own round trips', () => {
    const cycles = new Cycles(1000, at(0));
    for (let ms = 0; ms < 1000; ms += 10) cycles.answered(at(ms), 500);
    expect(cycles.last).to.equal(undefined);
    for (let ms = 0; ms < 100; ms += 1) cycles.answered(at(1000 + ms), ms);
    expect(cycles.last).to.deep.equal({
      startedAt: at(0),
      durationMs: 990,
      p50Ms: 500,
      p99Ms: 500,
    });
    cycles.answered(at(2500), 1);
    expect(cycles.last).to.deep.equal({
      startedAt: at(1000),
      durationMs: 99,
      p50Ms: 50,
      p99Ms: 99,
    });
  });

  it('in which nobody answered leave the one before standing', () => {
    const cycles = new Cycles(1000, at(0));
    cycles.answered(at(5000), 7);
    expect(cycles.last).to.equal(undefined);
    cycles.answered(at(9000), 8);
    expect(cycles.last).to.include({ p50Ms: 7, p99Ms: 7, durationMs: 0 });
  });
});
