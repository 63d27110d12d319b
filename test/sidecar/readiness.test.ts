import { expect } from 'chai';
import { lookedAtOnceIn } from '../../src/sidecar/readiness.ts';

describe('lookedAtOnceIn', () => {
  it('looks again when the time is over, not before', () => {
    let ms = 5000;
    let looks = 0;
    const ask = lookedAtOnceIn(
      1000,
      () => new Date(ms),
      () => (looks += 1),
    );
    expect([ask(), ask()]).to.deep.equal([1, 1]);
    ms = 5999;
    expect(ask()).to.equal(1);
    ms = 6000;
    expect(ask()).to.equal(2);
  });

  it('looks again when the clock was set back', () => {
    let ms = 5000;
    let looks = 0;
    const ask = lookedAtOnceIn(
      1000,
      () => new Date(ms),
      () => (looks += 1),
    );
    ask();
    ms = 1000;
    expect(ask()).to.equal(2);
  });
});
