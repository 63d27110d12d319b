import { expect } from 'chai';
import { RateBudget } from '../../src/rpc/rate-budget.ts';

describe('RateBudget', () => {
  it('is spent and comes back with time, up to its burst', () => {
    let ms = 0;
    const budget = new RateBudget({ burst: 2, perSecond: 2 }, () => new Date(ms));
    budget.spend();
    expect(budget.available).to.equal(true);
    budget.spend();
    expect(budget.available).to.equal(false);
    ms = 499;
    expect(budget.available).to.equal(false);
    ms = 500;
    expect(budget.available).to.equal(true);
    ms = 100_000;
    for (let count = 0; count < 2; count += 1) budget.spend();
    expect(budget.available).to.equal(false);
  });

  it('takes units back, up to its burst', () => {
    const budget = new RateBudget({ burst: 2, perSecond: 1 }, () => new Date(0));
    for (let count = 0; count < 2; count += 1) budget.spend();
    expect(budget.available).to.equal(false);
    budget.refund(100);
    for (let count = 0; count < 2; count += 1) {
      expect(budget.available).to.equal(true);
      budget.spend();
    }
    expect(budget.available).to.equal(false);
  });

  it('is not confused by a clock set back', () => {
    let ms = 1000;
    const budget = new RateBudget({ burst: 1, perSecond: 1 }, () => new Date(ms));
    budget.spend();
    ms = 0;
    expect(budget.available).to.equal(false);
    ms = 1000;
    expect(budget.available).to.equal(true);
  });
});
