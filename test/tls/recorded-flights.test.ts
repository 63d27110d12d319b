import { expect } from 'chai';
import type { ClientSession, Handshake } from '../../src/tls/config.ts';
import { actionLines, type ConnectionLog } from '../support/flight-log.ts';
import { repeatCall } from '../support/flight-replay.ts';
import { loadFlight, ScenarioEngines, scenarios } from '../vectors/scenarios.ts';

/** Makes all calls again and compares every answer; returns what may be resumed. */
function replay(engine: Handshake, { calls }: ConnectionLog): ClientSession | undefined {
  let session: ClientSession | undefined;
  for (const call of calls) {
    const actions = repeatCall(engine, call);
    expect(actionLines(actions)).to.deep.equal(call.actions);
    for (const action of actions) {
      if (action.type === 'established') session = action.result.session;
    }
  }
  return session;
}

/** As {@link replay}, every received byte in a call of its own. */
function replayBytewise(engine: Handshake, { calls }: ConnectionLog): ClientSession | undefined {
  const got: string[] = [];
  let ended = false;
  let session: ClientSession | undefined;
  const pieces = calls.flatMap((call) =>
    call.method === 'receive'
      ? Array.from(call.input, (byte) => ({ ...call, input: Uint8Array.of(byte) }))
      : [call],
  );
  for (const call of pieces) {
    if (ended) break;
    const actions = repeatCall(engine, call);
    got.push(...actionLines(actions));
    for (const action of actions) {
      ended ||= action.type === 'established' || action.type === 'failed';
      if (action.type === 'established') session = action.result.session;
    }
  }
  expect(got).to.deep.equal(calls.flatMap(({ actions }) => actions));
  return session;
}

for (const scenario of scenarios) {
  describe(`recorded flight ${scenario.name} (RFC 5246 §7.3)`, () => {
    const log = loadFlight(scenario);

    it('is answered byte for byte as recorded', () => {
      const engines = new ScenarioEngines(scenario, log.credential);
      let session: ClientSession | undefined;
      for (const connection of log.connections) session = replay(engines.next(session), connection);
      expect(log.connections).to.have.length(scenario.connections);
      expect(log.connections.at(-1)?.calls.at(-1)?.actions.join('\n')).to.include(scenario.ends);
    });

    it('is answered the same when it comes byte by byte', () => {
      const engines = new ScenarioEngines(scenario, log.credential);
      let session: ClientSession | undefined;
      for (const connection of log.connections) {
        session = replayBytewise(engines.next(session), connection);
      }
    });
  });
}
