import { expect } from 'chai';
import { HeldAnswers } from '../../../src/ca/admission/held-answers.ts';

describe('HeldAnswers', () => {
  const fired: (() => void)[] = [];
  const delays: number[] = [];
  const timers = {
    after: (ms: number, callback: () => void) => {
      delays.push(ms);
      fired.push(callback);
      return () => undefined;
    },
  };

  it('gives an answer late, and then has room for another', () => {
    const held = new HeldAnswers(timers, 1);
    let answers = 0;
    const answer = (): void => void (answers += 1);
    expect(held.hold(answer, 5000)).to.equal(true);
    expect([answers, held.held]).to.deep.equal([0, 1]);
    expect(held.hold(answer, 5000)).to.equal(false);
    fired.shift()?.();
    expect([answers, held.held]).to.deep.equal([1, 0]);
    expect(held.hold(answer, 5000)).to.equal(true);
    expect(fired).to.have.length(1);
    new HeldAnswers(timers).hold(answer, 1);
    expect(delays).to.deep.equal([5000, 5000, 1000]);
  });
});
