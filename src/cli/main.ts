#!/usr/bin/env node
import { run } from './program.ts';

// Node opens its inspector on SIGUSR1 unless somebody listens: whoever may send the signal could
// then read session keys, or in a sidecar long-term keys.
process.on('SIGUSR1', () => undefined);

process.exitCode = await run(process.argv.slice(2));
