import { expect } from 'chai';
import {
  backoffMs,
  hardMoment,
  renewalMoment,
  retryMoment,
} from '../../src/identity/renewal-schedule.ts';
import { Alarm } from '../../src/identity/timers.ts';
import { FakeClock } from './support/fake-clock.ts';

const hour = 3_600_000;
const life = {
  issuedAt: new Date(0),
  notAfter: new Date(100 * hour),
  draw: 0.5,
};
const failures = { count: 1, retryAfterMs: undefined, refused: false };

describe('the moment to renew', () => {
  for (const [draw, hours] of [
    [0, 55],
    [0.5, 67.5],
    [1, 80],
  ] as const) {
    it(`lies at ${String(hours)} % of the life for a draw of ${String(draw)}`, () => {
      expect(renewalMoment({ ...life, draw }).getTime()).to.be.closeTo(hours * hour, 1);
    });
  }

  it('has come when the certificate came expired', () => {
    const late = { ...life, issuedAt: new Date(200 * hour) };
    expect(renewalMoment(late).getTime()).to.equal(200 * hour);
    expect(hardMoment(late).getTime()).to.equal(200 * hour);
  });
});

describe('the moment to try again', () => {
  const at = (
    hours: number,
    change: Partial<Omit<typeof failures, 'retryAfterMs'>> & { retryAfterMs?: number } = {},
    random = 1,
  ) => {
    const now = new Date(hours * hour);
    return retryMoment(life, { ...failures, ...change }, now, random).getTime() - now.getTime();
  };

  const cases = [
    { what: 'is soon at first', delay: at(60), ms: 4000 },
    { what: 'is anywhere below that', delay: at(60, {}, 0.5), ms: 2000 },
    { what: 'is never at once', delay: at(60, {}, 0), ms: 500 },
    { what: 'doubles', delay: at(60, { count: 5 }), ms: 64_000 },
    { what: 'has a limit', delay: at(60, { count: 500 }), ms: 600_000 },
    { what: 'is not behind the hard zone', delay: at(89.95, { count: 500 }), ms: 180_000 },
    { what: 'is short in the hard zone', delay: at(95, { count: 500 }), ms: 30_000 },
    { what: 'is longer once it has expired', delay: at(101, { count: 500 }), ms: 300_000 },
    { what: 'is long after a refusal', delay: at(95, { count: 500, refused: true }), ms: 600_000 },
    {
      what: 'is when the authority says, and a little',
      delay: at(95, { retryAfterMs: 80_000 }),
      ms: 100_000,
    },
    {
      what: 'is not before the authority says',
      delay: at(95, { retryAfterMs: 80_000 }, 0),
      ms: 80_000,
    },
    { what: 'is not what nobody would say', delay: at(60, { retryAfterMs: 1e12 }, 0), ms: hour },
  ];
  for (const { what, delay, ms } of cases) {
    it(what, () => {
      expect(delay).to.be.closeTo(ms, 1);
    });
  }

  it('stays finite for any number of failures', () => {
    expect(backoffMs({ ...failures, count: 1e9 }, 1, 60_000)).to.equal(60_000);
  });
});

describe('an alarm', () => {
  it('rings after years, however short timers are', () => {
    const clock = new FakeClock();
    const alarm = new Alarm(clock.now, clock);
    const at = new Date(clock.now().getTime() + 40 * 86_400_000);
    let rung: Date | undefined;
    alarm.set(at, () => (rung = clock.now()));
    clock.advance(40 * 86_400_000 - 1);
    expect(rung).to.equal(undefined);
    clock.advance(1);
    expect(rung).to.deep.equal(at);
    expect(clock.pending).to.equal(0);
  });

  it('rings within a minute of a clock that jumped', () => {
    const clock = new FakeClock();
    const alarm = new Alarm(clock.now, clock);
    let rung = false;
    alarm.set(new Date(clock.now().getTime() + 10 * hour), () => (rung = true));
    clock.jump(11 * hour);
    clock.advance(60_000);
    expect(rung).to.equal(true);
  });

  it('does not ring when the clock was set back', () => {
    const clock = new FakeClock();
    const alarm = new Alarm(clock.now, clock);
    let rung = false;
    alarm.set(new Date(clock.now().getTime() + 30_000), () => (rung = true));
    clock.jump(-hour);
    clock.advance(30_000);
    expect(rung).to.equal(false);
    clock.advance(hour);
    expect(rung).to.equal(true);
  });

  it('is replaced, and cleared', () => {
    const clock = new FakeClock();
    const alarm = new Alarm(clock.now, clock);
    const rung: string[] = [];
    alarm.set(clock.now(), () => rung.push('first'));
    alarm.set(clock.now(), () => rung.push('second'));
    clock.advance(0);
    alarm.set(clock.now(), () => rung.push('third'));
    alarm.clear();
    clock.advance(hour);
    expect(rung).to.deep.equal(['second']);
  });
});
