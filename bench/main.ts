import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { type Pair, startPair, stopPair } from './endpoints.ts';
import { measure, measureMemory, type Measured, type MemoryPerConnection } from './measurement.ts';
import { machineLine, printHeader, printRow, writeJson } from './report.ts';
import { memoryResult, rowResult, type RowResult } from './results.ts';
import { type Row, rows } from './rows.ts';
import { Stage, variants, type Variant } from './stage.ts';
import { median } from './statistics.ts';
import { targetsFor } from './targets.ts';

/**
 * Offloading against `node:tls` in the same run. Every round takes one sample of every row from
 * every variant, in turn and in alternating order, so that what else the machine does hits all
 * alike; what is compared are ratios within a round.
 *
 *     node --import ./test/support/typescript.mjs bench/main.ts [--rounds 9] [--seconds 1]
 *         [--rows REGEXP] [--json FILE]
 */
const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    seconds: { type: 'string', default: '1' },
    rows: { type: 'string', default: '.' },
    connections: { type: 'string', default: '500' },
    json: {
      type: 'string',
      default: fileURLToPath(new URL('./results/latest.json', import.meta.url)),
    },
  },
});
const roundCount = Number(options.rounds);
const seconds = Number(options.seconds);
const wanted = new RegExp(options.rows);
const chosen = rows.filter(({ id }) => wanted.test(id));
const targets = targetsFor(Number.parseInt(process.versions.node));
const machine = machineLine();
process.stdout.write(`${machine}\n`);
printHeader(Object.values(variants).map(({ title }) => title));

/** On a machine so slow that warming up takes longer, it has to do. */
const maxWarmUpMs = 10_000;

const stage = new Stage();
const results: RowResult[] = [];
const otherLoads: number[] = [];
try {
  await stage.ready();
  results.push(...(await measureRows()));
  if (wanted.test('memory')) results.push(await measureIdleMemory());
} finally {
  await stage.stop();
}
const otherLoad = median(otherLoads);
if (otherLoads.length > 0) {
  process.stdout.write(
    `\nother work on the machine while measuring: ${(otherLoad * 100).toFixed(0)} % (median)\n`,
  );
}
const missed = results
  .flatMap(({ id, lines }) => lines.map((line) => ({ id, line })))
  .flatMap(({ id, line }) => line.cells.map((cell) => ({ id, line, cell })))
  .filter(({ cell }) => cell.target?.met === false)
  .map(({ id, line, cell }) => `${id} ${line.measure} (${cell.title})`);
process.stdout.write(
  missed.length === 0 ? 'every goal met\n' : `goals missed: ${missed.join(', ')}\n`,
);
writeJson(options.json, {
  machine,
  node: process.version,
  rounds: roundCount,
  secondsPerSample: seconds,
  otherLoad,
  results,
});

async function measureRows(): Promise<readonly RowResult[]> {
  const names = [...new Set(chosen.flatMap((row) => row.variants))];
  const pairs = new Map<Variant, Pair>();
  try {
    for (const name of names) pairs.set(name, await startPair(stage.settings(name)));
    const done: RowResult[] = [];
    for (const row of chosen) {
      const result = rowResult(row, await measureRow(row, pairs), targets);
      printRow(result);
      done.push(result);
    }
    return done;
  } finally {
    await Promise.all([...pairs.values()].map(stopPair));
  }
}

async function measureRow(
  row: Row,
  pairs: ReadonlyMap<Variant, Pair>,
): Promise<Map<Variant, Measured[]>> {
  const samples = new Map<Variant, Measured[]>(row.variants.map((variant) => [variant, []]));
  const pairOf = (variant: Variant): Pair => {
    const pair = pairs.get(variant);
    if (pair === undefined) throw new Error(`no processes for ${variant}`);
    return pair;
  };
  for (const variant of row.variants) await warmUp(row, pairOf(variant));
  for (let round = 0; round < roundCount; round += 1) {
    const order = round % 2 === 0 ? row.variants : row.variants.toReversed();
    for (const variant of order) {
      const sample = await measure(row, pairOf(variant), stage, seconds);
      samples.get(variant)?.push(sample);
      otherLoads.push(sample.otherLoad);
    }
  }
  return samples;
}

async function warmUp(row: Row, pair: Pair): Promise<void> {
  const end = performance.now() + maxWarmUpMs;
  for (let work = 0; work < row.warmUp && performance.now() < end;) {
    work += (await row.run(pair, seconds)).work;
  }
}

/** Each sample takes fresh processes, so a few rounds have to do. */
async function measureIdleMemory(): Promise<RowResult> {
  const names = Object.keys(variants) as Variant[];
  const samples = new Map<Variant, MemoryPerConnection[]>(names.map((name) => [name, []]));
  for (let round = 0; round < Math.min(3, roundCount); round += 1) {
    for (const name of names) {
      samples.get(name)?.push(await measureMemory(stage, name, Number(options.connections)));
    }
  }
  const result = memoryResult(samples, targets);
  printRow(result);
  return result;
}
