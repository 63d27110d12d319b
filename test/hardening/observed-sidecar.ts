import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeHeapSnapshot } from 'node:v8';
import { logOutput } from '../../src/apps/sidecar/log-output.ts';
import { parseSidecarConfig, startSidecar } from '../../src/sidecar/index.ts';
import { openSync } from 'node:fs';
import { pino } from 'pino';

/**
 * A sidecar that shows what its process holds, as no sidecar that is run does: `observed-sidecar.ts
 * DIRECTORY`. Asked by its parent, it writes a heap snapshot and a diagnostic report.
 */
const [directory = '.'] = process.argv.slice(2);
const configuration = join(directory, 'sidecar.yaml');
const config = parseSidecarConfig(readFileSync(configuration, 'utf8'), configuration);
const log = pino({ level: 'trace' }, logOutput(openSync(join(directory, 'log'), 'a')));
const sidecar = await startSidecar(config, { log });
process.on('message', () => {
  writeHeapSnapshot(join(directory, 'heap.heapsnapshot'));
  writeFileSync(join(directory, 'report.json'), JSON.stringify(process.report.getReport()));
  process.send?.({ observed: true });
});
process.send?.({ address: sidecar.address, admin: sidecar.adminAddress });
