import { expect } from 'chai';
import type { ClientSession, Handshake } from '../../src/tls/config.ts';
import { loadFlight, ScenarioEngines, type Scenario } from '../vectors/scenarios.ts';
import { actionLines, type ConnectionLog } from './flight-log.ts';
import {
  partBytes,
  peerParts,
  repeatCall,
  runEngine,
  type Outcome,
  type PeerPart,
} from './flight-replay.ts';

/**
 * A recorded handshake of which something the peer said is changed. All it says before its Finished
 * is covered by that, so no change may lead to keys; and whatever it is, the answer is one alert at
 * most, and silence after it.
 */
export interface Mutation {
  readonly name: string;
  readonly parts: readonly PeerPart[];
}

/** The last connection of a recorded scenario, as often as wanted. */
export class FlightSubject {
  readonly connection: ConnectionLog;
  readonly parts: readonly PeerPart[];
  readonly #scenario: Scenario;
  readonly #earlier: readonly ConnectionLog[];
  readonly #credential: readonly Uint8Array[];

  constructor(scenario: Scenario) {
    const { credential, connections } = loadFlight(scenario);
    const last = connections.at(-1);
    if (last === undefined) throw new Error(`${scenario.name} is empty`);
    this.#scenario = scenario;
    this.#credential = credential;
    this.#earlier = connections.slice(0, -1);
    this.connection = last;
    this.parts = peerParts(last);
  }

  engine(): Handshake {
    const engines = new ScenarioEngines(this.#scenario, this.#credential);
    let session: ClientSession | undefined;
    for (const { calls } of this.#earlier) {
      const engine = engines.next(session);
      for (const action of calls.flatMap((call) => repeatCall(engine, call))) {
        if (action.type === 'established') session = action.result.session;
      }
    }
    return engines.next(session);
  }

  run(...pieces: readonly Uint8Array[]): Outcome {
    return runEngine(this.engine(), this.connection, pieces);
  }

  /** Checks what has to be true of every mutation; returns the alert, if it came to one. */
  refuse({ name, parts }: Mutation): string | undefined {
    const engine = this.engine();
    const outcome = runEngine(engine, this.connection, [partBytes(parts)]);
    expect(outcome.result, name).to.equal(undefined);
    expect(outcome.alerts, name).to.equal(outcome.failure === undefined ? 0 : 1);
    expect(outcome.failure?.alert, name).not.to.equal('internal_error');
    if (outcome.failure !== undefined) {
      const again = actionLines(engine.receive(Uint8Array.of(22, 3, 3, 0, 4, 14, 0, 0, 0)));
      expect(again, name).to.deep.equal(
        actionLines([{ type: 'failed', failure: outcome.failure }]),
      );
    }
    return outcome.failure?.alert;
  }
}

/** All of an outcome that must not depend on how bytes arrive. */
export function outcomeLines({ result, failure, sent, trailingBytes }: Outcome): readonly string[] {
  const lines = [Buffer.from(sent).toString('hex')];
  if (result !== undefined) {
    lines.push(...actionLines([{ type: 'established', result, trailingBytes }]));
  }
  if (failure !== undefined) lines.push(...actionLines([{ type: 'failed', failure }]));
  return lines;
}
