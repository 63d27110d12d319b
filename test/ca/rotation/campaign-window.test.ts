import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { slotOf, windowFor } from '../../../src/ca/rotation/campaign-window.ts';

const campaign = { id: new Uint8Array(16).fill(7), startedAt: 1_000_000, windowMs: 600_000 };
const agents = Array.from({ length: 10_000 }, (_, index) =>
  createHash('sha256').update(String(index)).digest().subarray(0, 16),
);

describe('reissue slots', () => {
  it('gives a host the same slot always, and another in another campaign', () => {
    const [agent] = agents;
    const slot = slotOf(campaign, agent!);
    expect(slotOf({ ...campaign }, Buffer.from(agent!))).to.deep.equal(slot);
    const other = { ...campaign, id: new Uint8Array(16).fill(8) };
    expect(slotOf(other, agent!)).not.to.deep.equal(slot);
  });

  it('keeps all slots within the window and spreads them evenly', () => {
    const tenths = new Array<number>(10).fill(0);
    for (const agent of agents) {
      const share = (slotOf(campaign, agent).getTime() - campaign.startedAt) / campaign.windowMs;
      expect(share).to.be.within(0, 0.999999);
      tenths[Math.floor(share * 10)]! += 1;
    }
    for (const count of tenths) expect(count).to.be.within(900, 1100);
  });

  const cases: readonly [string, Parameters<typeof windowFor>[0], number][] = [
    ['grows with the fleet', { hosts: 10_000, perSecond: 200, minMs: 1000, leftMs: 1e9 }, 50_000],
    [
      'is never shorter than told',
      { hosts: 3, perSecond: 200, minMs: 10_000, leftMs: 1e9 },
      10_000,
    ],
    [
      'ends by half of what certificates have left',
      { hosts: 10_000, perSecond: 1, minMs: 1, leftMs: 60_000 },
      30_000,
    ],
    ['is nothing when they have ended', { hosts: 5, perSecond: 1, minMs: 1000, leftMs: -1 }, 0],
    [
      'does not fall for a rate of nothing',
      { hosts: 5, perSecond: 0, minMs: 1, leftMs: 1e9 },
      5000,
    ],
  ];
  for (const [name, options, ms] of cases) {
    it(`window ${name}`, () => {
      expect(windowFor(options)).to.equal(ms);
    });
  }
});
