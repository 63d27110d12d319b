import { parseArgs } from 'node:util';
import { createFixture } from '../interop/fixture.ts';
import { builtLibrary } from '../support/built-library.ts';
import { callers } from './callers.ts';
import { http2Abuse } from './http2-abuse.ts';
import { kills } from './kills.ts';
import { overload } from './overload.ts';
import { patience } from './patience.ts';
import { peerFaults } from './peer-faults.ts';
import { Report } from './report.ts';
import { sidecarFaults } from './sidecar-faults.ts';
import { slowLoris } from './slow-loris.ts';
import type { Stage } from './stage.ts';
import { storage } from './storage.ts';

/**
 * Breaks everything that can break around running sidecars and applications:
 * `make chaos ARGS='[--stride N] [--only NAME ...]'`. With `--stride 1` faults are tried at every
 * byte of a handshake, which takes many minutes. Fails if anything did not end as it should.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      stride: { type: 'string', default: String(usualStride) },
      only: { type: 'string', multiple: true },
    },
  });
  const stride = Number(values.stride);
  if (!Number.isInteger(stride) || stride < 1) throw new RangeError('--stride is a number above 0');
  const fixture = createFixture();
  const report = new Report((line) => process.stdout.write(`${line}\n`));
  const rests: (() => Promise<void>)[] = [];
  const stage: Stage = {
    fixture,
    library: await builtLibrary(),
    report,
    stride,
    atEnd: (rest) => rests.push(rest),
  };
  if (patience > 1)
    report.note(`the machine is busy: deadlines are ${String(patience)} times longer`);
  for (const [name, scenario] of scenarios) {
    if (!(values.only?.includes(name) ?? true)) continue;
    const startedAt = performance.now();
    await scenario(stage);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    report.note(`${name}: ${seconds} s`);
  }
  for (const rest of rests) await rest();
  fixture.remove();
  report.note(report.summary);
  process.exitCode = report.failed === 0 && report.passed > 0 ? 0 : 1;
}

const scenarios: readonly (readonly [string, (stage: Stage) => Promise<void>])[] = [
  ['slow-loris', slowLoris],
  ['peer-faults', peerFaults],
  ['sidecar-faults', sidecarFaults],
  ['kills', kills],
  ['storage', storage],
  ['callers', callers],
  ['overload', overload],
  ['http2-abuse', http2Abuse],
];

/** Keeps the whole run below a minute and a half. */
const usualStride = 24;

await main();
