import { expect } from 'chai';
import { HeldAnswers } from '../../../src/ca/admission/held-answers.ts';

describe('HeldAnswers', () => {
  const fired: (() => void)[] = [];
  const timers = {
    after: (_ms: number, callback: () => void) => {
      fired.push(callback);
      return () => undefined;
    },
  };

  it('gives an answer late, and then has room for another', () => {
    const held = new HeldAnswers(timers, 1);
    let answers = 0;
    const answer = (): void => void (answers += 1);
    expect(held.hold(answer)).to.equal(true);
    expect([answers, held.held]).to.deep.equal([0, 1]);
    expect(held.hold(answer)).to.equal(false);
    fired.shift()?.();
    expect([answers, held.held]).to.deep.equal([1, 0]);
    expect(held.hold(answer)).to.equal(true);
    expect(fired).to.have.length(1);
  });
});
