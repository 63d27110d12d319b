import { createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import { keyKindOf } from '../../src/crypto/keys.ts';
import type { Action, ClientSession, Handshake } from '../../src/tls/config.ts';
import { actionLines, type ConnectionLog, type LoggedCall } from '../support/flight-log.ts';
import { loadFlight, ScenarioEngines, scenarios } from '../vectors/scenarios.ts';

/** Makes one call again. */
function repeat(engine: Handshake, { method, input }: LoggedCall): readonly Action[] {
  switch (method) {
    case 'start':
      return engine.start();
    case 'receive':
      return engine.receive(input);
    case 'signed':
      return engine.signed(input);
    case 'verified': {
      const publicKey = createPublicKey({ key: Buffer.from(input), format: 'der', type: 'spki' });
      const keyKind = keyKindOf(publicKey);
      if (keyKind === undefined) throw new Error('a key we do not use');
      return engine.verified({ ok: true, publicKey, keyKind });
    }
  }
}

/** Makes all calls again and compares every answer; returns what may be resumed. */
function replay(engine: Handshake, { calls }: ConnectionLog): ClientSession | undefined {
  let session: ClientSession | undefined;
  for (const call of calls) {
    const actions = repeat(engine, call);
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
    const actions = repeat(engine, call);
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
