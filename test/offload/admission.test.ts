import { expect } from 'chai';
import { Admission } from '../../src/offload/admission.ts';

const never = new AbortController().signal;

describe('Admission', () => {
  it('admits in the order of asking', async () => {
    const admission = new Admission(1, 10);
    await admission.acquire(never);
    const order: number[] = [];
    const waiting = [1, 2, 3].map((number) =>
      admission.acquire(never).then(() => {
        order.push(number);
        admission.release();
      }),
    );
    expect(admission.queued).to.equal(3);
    admission.release();
    await Promise.all(waiting);
    expect(order).to.deep.equal([1, 2, 3]);
    expect(admission.running).to.equal(0);
  });

  it('refuses when the queue is full', async () => {
    const admission = new Admission(1, 1);
    await admission.acquire(never);
    const waiting = admission.acquire(never);
    const refused = await admission.acquire(never).catch((error: unknown) => error);
    expect(refused).to.have.property('code', 'ERR_OFFLOAD_OVERLOADED');
    admission.release();
    await waiting;
  });

  it('forgets who gives up waiting', async () => {
    const admission = new Admission(1, 10);
    await admission.acquire(never);
    const controller = new AbortController();
    const impatient = admission.acquire(controller.signal);
    const reason = new Error('deadline');
    controller.abort(reason);
    expect(await impatient.catch((error: unknown) => error)).to.equal(reason);
    expect(admission.queued).to.equal(0);
    admission.release();
    expect(admission.running).to.equal(0);
  });

  it('admits nobody who has given up already', () => {
    const admission = new Admission(1, 10);
    expect(() => admission.acquire(AbortSignal.abort(new Error('deadline')))).to.throw('deadline');
    expect(admission.running).to.equal(0);
  });
});
