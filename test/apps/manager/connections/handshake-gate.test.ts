import { expect } from 'chai';
import {
  HandshakeGate,
  type Leave,
} from '../../../../src/apps/manager/connections/handshake-gate.ts';

describe('the gate before handshakes', () => {
  /** Rates are out of the way unless a test is about them. */
  const gateOf = (limits: Partial<ConstructorParameters<typeof HandshakeGate>[0]>) =>
    new HandshakeGate(
      { perSecond: 1e6, atOnce: 1, waiting: 100, patienceMs: 20_000, ...limits },
      () => now,
    );
  let now = 0;

  /** Enters, and writes down when it is let in. */
  function visitors(gate: HandshakeGate) {
    const inside: string[] = [];
    const leaves: Leave[] = [];
    const enter = async (source: string, name = source): Promise<void> => {
      const leave = await gate.enter(source);
      if (leave === undefined) inside.push(`${name} sent away`);
      else {
        inside.push(name);
        leaves.push(leave);
      }
    };
    const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const leave = async (): Promise<void> => {
      leaves.shift()?.();
      await settled();
    };
    return { inside, enter, leave, leaves, settled };
  }

  it('lets in so many at once, and the next when one has left', async () => {
    const gate = gateOf({ atOnce: 2 });
    const { inside, enter, leave, settled } = visitors(gate);
    for (const name of ['a', 'b', 'c']) void enter(name);
    await settled();
    expect(inside).to.deep.equal(['a', 'b']);
    await leave();
    expect(inside).to.deep.equal(['a', 'b', 'c']);
    expect([gate.running, gate.waiting]).to.deep.equal([2, 0]);
    gate.close();
  });

  it('has sources take turns: one that comes often waits behind itself', async () => {
    const gate = gateOf({});
    const { inside, enter, leave, settled } = visitors(gate);
    void enter('first');
    for (const name of ['flood 1', 'flood 2', 'flood 3']) void enter('flood', name);
    void enter('agent');
    await settled();
    for (let count = 0; count < 4; count += 1) await leave();
    expect(inside).to.deep.equal(['first', 'flood 1', 'agent', 'flood 2', 'flood 3']);
    gate.close();
  });

  it('sends away what one source has beyond a quarter of the places, and nobody else', async () => {
    const gate = gateOf({ waiting: 8 });
    const { inside, enter, settled } = visitors(gate);
    void enter('first');
    for (const name of ['flood 1', 'flood 2', 'flood 3']) void enter('flood', name);
    void enter('agent');
    await settled();
    expect(inside).to.deep.equal(['first', 'flood 3 sent away']);
    expect(gate.waiting).to.equal(3);
    gate.close();
  });

  it('sends away whoever comes when all places are taken', async () => {
    const gate = gateOf({ waiting: 4 });
    const { inside, enter, settled } = visitors(gate);
    for (let count = 0; count < 6; count += 1) void enter(String(count));
    await settled();
    expect(inside).to.deep.equal(['0', '5 sent away']);
    gate.close();
  });

  it('sends away whose patience is over when its turn comes', async () => {
    const gate = gateOf({});
    const { inside, enter, leave, settled } = visitors(gate);
    for (const name of ['a', 'b']) void enter(name);
    await settled();
    now += 20_001;
    void enter('c');
    await leave();
    expect(inside).to.deep.equal(['a', 'b sent away', 'c']);
    gate.close();
  });

  it('lets in no more than its rate, however fast they leave', async () => {
    const gate = gateOf({ perSecond: 2, atOnce: 10 });
    const { inside, enter, leave, settled } = visitors(gate);
    for (const name of ['a', 'b', 'c', 'd']) void enter(name);
    await settled();
    await leave();
    await leave();
    expect(inside).to.deep.equal(['a', 'b']);
    now += 500;
    void enter('e');
    await settled();
    expect(inside).to.deep.equal(['a', 'b', 'c']);
    gate.close();
    await settled();
    expect(inside.slice(3)).to.deep.equal(['d sent away', 'e sent away']);
  });

  it('counts a place once that is left twice', async () => {
    const gate = gateOf({});
    const { inside, enter, leaves, settled } = visitors(gate);
    for (const name of ['a', 'b', 'c']) void enter(name);
    await settled();
    const [first] = leaves;
    first?.();
    first?.();
    await settled();
    expect(inside).to.deep.equal(['a', 'b']);
    gate.close();
  });
});
