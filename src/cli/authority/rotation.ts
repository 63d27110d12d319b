import { randomUUID } from 'node:crypto';
import {
  AdministrationServiceService as Administration,
  type Gate,
  type GetRotationResponse,
} from '../../gen/sidekey/v1/administration.ts';
import { formatTable, type OutputFormat, print, printable } from '../terminal.ts';
import type { AuthorityClient } from './client.ts';
import { toJson } from './json.ts';
import { formatMoment } from './print.ts';

/** Generations, what each possible next step waits for, and who is late. */
export async function showRotation(client: AuthorityClient, format: OutputFormat): Promise<void> {
  const rotation = await client.call(Administration.getRotation, {});
  if (format === 'json') {
    print(JSON.stringify(toJson(rotation), null, 2));
    return;
  }
  print(
    formatTable([
      ['KIND', 'NUMBER', 'STATE', 'UNTIL', 'DEPEND ON IT'],
      ...rotation.generations.map((generation) => [
        generation.kind,
        String(generation.number),
        generation.state,
        formatMoment(generation.notAfter),
        String(generation.liveCertificates),
      ]),
    ]),
  );
  print();
  print(rotation.automatic ? 'steps are taken by themselves' : 'steps are taken by hand');
  tellCampaign(rotation);
  tellGates(rotation.gates);
}

export interface StepOptions {
  readonly kind: string;
  readonly step: string;
  /** Absent: the one the step is due for. */
  readonly number: number | undefined;
  /** Do it although the gate is shut. */
  readonly force: boolean;
  readonly reason: string;
  /** Of a reissue; absent: chosen by the number of agents. */
  readonly windowSeconds: number | undefined;
}

export async function advanceRotation(
  client: AuthorityClient,
  options: StepOptions,
  format: OutputFormat,
): Promise<void> {
  const { generation } = await client.call(Administration.advanceRotation, {
    idempotencyKey: randomUUID(),
    kind: options.kind,
    step: options.step,
    number: options.number ?? 0,
    force: options.force,
    reason: options.reason,
    windowSeconds: BigInt(options.windowSeconds ?? 0),
  });
  if (generation === undefined) throw new Error('the authority did not say what it did');
  if (format === 'json') print(JSON.stringify(toJson(generation), null, 2));
  else print(`${generation.kind} ${String(generation.number)} is ${generation.state}`);
}

function tellCampaign({ campaign }: GetRotationResponse): void {
  if (campaign === undefined) return;
  print(
    `reissue since ${formatMoment(campaign.startedAt)} over ${String(campaign.windowSeconds)} s: ${String(campaign.done)} of ${String(campaign.total)}`,
  );
}

function tellGates(gates: readonly Gate[]): void {
  if (gates.length === 0) return;
  print();
  print(
    formatTable([
      ['NEXT STEP', 'OF', 'GATE', 'REACHED', 'WHY'],
      ...gates.map((gate) => [
        gate.step,
        `${gate.kind} ${String(gate.number)}`,
        gate.open ? 'open' : 'shut',
        `${String(gate.reached)}/${String(gate.needed)}`,
        printable(gate.detail),
      ]),
    ]),
  );
  for (const gate of gates) {
    for (const laggard of gate.laggards) {
      print(printable(`  ${gate.step}: ${laggard.spiffeId} ${laggard.why}`));
    }
    const untold = Number(gate.laggardsTotal) - gate.laggards.length;
    if (untold > 0) print(`  ${gate.step}: and ${String(untold)} more`);
  }
}
