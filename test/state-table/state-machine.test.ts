import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { clientInputs, clientRows, clientStates } from './client-rows.ts';
import { documentFile, stateMachineDocument } from './document.ts';
import { probe, type Reaction } from './probe.ts';
import { serverInputs, serverRows, serverStates } from './server-rows.ts';

describe('doc/state-machine.md (RFC 5246 §7.3)', () => {
  it('says what the engine does', () => {
    expect(stateMachineDocument()).to.equal(readFileSync(documentFile, 'utf8'));
  });

  for (const [role, states, rows] of [
    ['client', clientStates, clientRows],
    ['server', serverStates, serverRows],
  ] as const) {
    it(`leaves out no state of the ${role}`, () => {
      expect(new Set(rows.map(({ state }) => state))).to.deep.equal(new Set([...states, 'Failed']));
    });
  }

  const reactions: readonly (readonly [string, readonly Reaction[]])[] = [
    ...clientRows.map(
      (row) => [`client in ${row.state}`, clientInputs.map((input) => probe(row, input))] as const,
    ),
    ...serverRows.map(
      (row) => [`server in ${row.state}`, serverInputs.map((input) => probe(row, input))] as const,
    ),
  ];

  it('has at most two ways on from any state, and none to Established but Finished', () => {
    for (const [where, all] of reactions) {
      const onward = all.filter(({ type }) => type === 'moves');
      expect(onward.length, where).to.be.at.most(2);
      const established = onward.some((one) => one.type === 'moves' && one.to === 'Established');
      expect(established, where).to.equal(where.endsWith('ExpectFinished'));
    }
  });
});
